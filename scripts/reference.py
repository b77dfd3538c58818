"""The reference pages of the documentation, generated from the code whenever the site is built.

MkDocs loads this file as a hook (see mkdocs.yml). Pages are never written to disk, so they cannot be stale.
"""

import argparse
import dataclasses
import inspect
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import clep
from clep import checks, cli, config, parts, registry, specs
from clep.capabilities import unshared
from clep.catalogue import catalogue
from clep.docstrings import meanings, summary
from clep.metric_names import METRICS, PIPELINE
from clep.parameters import parameters
from clep.parameters import ranges as interval
from clep.schema import Config
from clep.specs.options import hints_of, taken_by
from clep.specs.stream import GIVEN

ROOT = Path(__file__).parent.parent
_GENERATED = "This page is generated from the code.\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the tables of claims at the end of the results (called by MkDocs)."""
    (results,) = [section["Results"] for section in config.nav or [] if "Results" in section]
    results.append({"Tables": [{name: f"results/{name}.md"} for name in measured()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site (called by MkDocs)."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def pages() -> dict[str, str]:
    """Path within the site -> Markdown, for every generated page."""
    return {
        "reference/commands.md": commands(),
        "reference/keys.md": keys(),
        "reference/strategies.md": strategies(),
        "reference/networks.md": networks(),
        "reference/streams.md": streams(),
        "reference/configs.md": configs(),
        "reference/metrics.md": metrics(),
        "reference/python.md": python(),
        "changelog.md": of_root("CHANGELOG.md"),
        "contributing.md": of_root("CONTRIBUTING.md"),
    }


def measured() -> list[str]:
    """The claims that have a table."""
    return [name for name in config.builtin("claim") if (ROOT / "docs" / "results" / f"{name}.md").is_file()]


def of_root(name: str) -> str:
    """A page from the top of the repository, with links that work in the site."""
    return (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")


def keys() -> str:
    """Every key of a configuration, with its type, range, default and meaning."""
    page = ["# Keys", _GENERATED]
    page += [
        "Set any of them on the command line as `key=value` or in a YAML file; `clep show` prints them all. clep "
        "refuses wrong keys and values before it trains anything.\n"
    ]
    return "\n".join([*page, *_sections(Config, "", 2)])


def _sections(schema: type[specs.Spec], prefix: str, level: int) -> Iterator[str]:
    """The options of a section as a table, followed by its subsections."""
    hints, inner, rows = hints_of(schema), [], []
    for field in schema.declared():
        kind = hints[field.name]
        if _is_spec(kind):
            inner.append((f"{prefix}{field.name}", kind))
        else:
            rows.append(_row(f"{prefix}{field.name}", kind, field, schema.default(field.name)))
    title = f"`{prefix.rstrip('.')}`" if prefix else "Top level"
    yield f"{'#' * min(level, 4)} {title}\n"
    yield f"{summary(schema.__doc__)}\n"
    yield from _table(("key", "value", "default", "meaning"), rows)
    for path, kind in inner:
        yield from _sections(kind, f"{path}.", level + bool(prefix))


def _is_spec(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, specs.Spec)


def _row(name: str, kind: Any, field: dataclasses.Field[Any], default: Any) -> tuple[str, str, str, str]:
    """Name, type and range, default and meaning of an option."""
    return f"`{name}`", _words(kind, field.metadata["range"]), _yaml(default), field.metadata["meaning"]


def _yaml(value: Any) -> str:
    """A value as YAML, as code."""
    if value is dataclasses.MISSING or value is inspect.Parameter.empty:
        return "required"
    if isinstance(value, list | tuple):
        return f"`{yaml.safe_dump(list(value), default_flow_style=True, width=10_000).strip()}`"
    return f"`{value if isinstance(value, str) else json.dumps(value, default=str)}`"


def _words(kind: Any, interval: str | None = None) -> str:
    """A type in words, its choices as code."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if kind is Any or kind is inspect.Parameter.empty:
        return ""
    if get_origin(kind) is dict:
        return "a mapping"
    return checks.words(kind, interval)


def strategies() -> str:
    """Every registered strategy and its parameters."""
    page = ["# Strategies", _GENERATED]
    page += [
        "`strategies=[NAME, ...]` selects a set, `strategy.NAME.PARAMETER=VALUE` sets a parameter. If "
        "`configs/strategy/` has a file with that name, its values are the defaults. Any other Avalanche plugin works "
        "by its import path. On [several devices](../guides/scale.md#one-learner-on-several-devices), each learns what "
        "it does in one process, unless it says why not.\n"
    ]
    files = config.builtin("strategy")
    for name in registry.names():
        cls = registry.find(name)
        page += [f"## {name}\n", f"{_about(cls, files.get(name, ''))}\n"]
        shipped = yaml.safe_load(config.find("strategy", name).read_text(encoding="utf-8")) if name in files else {}
        said, ranges = meanings(cls), registry.ranges(cls)
        rows = []
        for key, parameter in registry.parameters(cls).items():
            default = _yaml(shipped.get(key, parameter.default))
            rows.append((f"`{key}`", _words(parameter.annotation, ranges.get(key)), default, said.get(key, "")))
        page += _table(("parameter", "value", "default", "meaning"), rows)
        page += [f"Class: `{cls.__module__}.{cls.__qualname__}`\n"]
        page += [f"On several devices: {reason}.\n"] if (reason := unshared(object.__new__(cls))) else []
    return "\n".join(page)


def _about(cls: type, line: str) -> str:
    """What a strategy does: the docstrings of its module and class; for an Avalanche plugin, the first paragraph."""
    if not cls.__module__.startswith("clep."):
        return f"{line}\n\n{summary(cls.__doc__).partition(chr(10) * 2)[0]}".strip()
    module = inspect.cleandoc(inspect.getmodule(cls).__doc__ or "")
    what, _, sources = module.partition("\n\n")
    sources = re.sub(r"^References?:\s*", "Source: ", sources)
    return "\n\n".join(text for text in (what, summary(cls.__doc__), re.sub(r"\n {4}(?! )", "\n", sources)) if text)


def networks() -> str:
    """The networks by name."""
    text = "`network=NAME` selects one; the keys below it differ from [the defaults](keys.md#network)."
    page = ["# Networks", _GENERATED, f"{text}\n", *_files("network")]
    for kind in ("neuron", "connection", "cost", "gradient"):
        section = parts.plural(kind)
        rows = [(f"`{name}`", line, f"`{path}`") for name, path, line in catalogue(section).sections[section]]
        page += [f"## {section.capitalize()}\n", f"`{parts.KINDS[kind].key}=NAME`\n"]
        page += _table(("name", "what it is", "import path"), rows)
    return "\n".join(page)


def streams() -> str:
    """The data sets and the streams by name."""
    page = ["# Data sets and streams", _GENERATED]
    page += ["`stream=NAME` selects the data; [`stream.*`](keys.md#stream) says how they become experiences.\n"]
    page += _table(("name", "data"), _listed("datasets"))
    page += ["\n`stream.scenario=NAME` says what the experiences are.\n"]
    page += _table(("name", "experiences"), _listed("streams"))
    for name in parts.names("stream"):
        function = parts.find("stream", name)
        own, ranges, said = parameters(function, given=GIVEN), interval(function), meanings(function)
        rows = [
            (f"`{key}`", _words(own[key].annotation, ranges.get(key)), _yaml(own[key].default), said.get(key, ""))
            for key in own
        ]
        if rows:
            page += [f"\n## {name}\n", f"`stream.scenario_options.*` of `{name}`:\n"]
            page += _table(("parameter", "value", "default", "meaning"), rows)
    return "\n".join(page)


def _listed(section: str) -> list[tuple[str, str]]:
    """Name and description of what `clep list` lists."""
    return [(f"`{row[0]}`", row[-1]) for row in catalogue(section).sections[section]]


def configs() -> str:
    """The configurations and claims by name."""
    page = ["# Configurations and claims", _GENERATED, "## Configurations\n"]
    page += ["`clep run NAME` runs one, `clep show NAME` prints it in full.\n", *_files("pipeline", 3)]
    page += ["## Claims\n", "`clep reproduce NAME` trains what is missing and writes its table.\n"]
    for name, line in config.builtin("claim").items():
        sentence = " ".join(yaml.safe_load(config.find("claim", name).read_text(encoding="utf-8"))["claim"].split())
        table = f" ([table](../results/{name}.md))" if name in measured() else ""
        page += [f"### {name}\n", f"{line}{table}\n", f"> {sentence}\n"]
    return "\n".join(page)


def _files(group: str, level: int = 2) -> Iterator[str]:
    """The YAML files of a group: name, first line, content."""
    for name, line in config.builtin(group).items():
        text = config.find(group, name).read_text(encoding="utf-8").partition("\n")[2].strip()
        yield f"{'#' * level} {name}\n\n{line}\n\n```yaml\n{text}\n```\n"


def commands() -> str:
    """What `clep --help` and the help of every command print."""
    parser = cli.parser()
    (subparsers,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    page = ["# Commands", _GENERATED, f"```text\n{parser.format_help().strip()}\n```\n"]
    for name, command in subparsers.choices.items():
        page += [f"## {name}\n", f"```text\n{command.format_help().strip()}\n```\n"]
    return "\n".join(page)


def metrics() -> str:
    """The metrics of a run by name, and the functions behind those of the accuracy matrix."""
    page = ["# Metrics", _GENERATED, "## Names\n"]
    page += ["The metrics of a run in MLflow. A strategy may add its own.\n"]
    rows = [(f"`{m.shown}`", m.meaning, m.step, "" if m.by == PIPELINE else f"`{m.by}`") for m in METRICS.values()]
    page += _table(("metric", "meaning", "its step is", "logged by"), rows)
    page += ["## Functions of the accuracy matrix\n", "::: clep.metrics"]
    page += ["    options: {show_root_heading: false, show_root_toc_entry: false, heading_level: 3}\n"]
    return "\n".join(page)


def python() -> str:
    """The public names: a spec by its options, anything else by its docstring, through mkdocstrings."""
    page = ["# Python API", _GENERATED]
    page += ["The package `clep` has these public names; anything else may move. See also [Metrics](metrics.md).\n"]
    for name in clep.__all__:
        public = getattr(clep, name)
        if _is_spec(public):
            page += [f"## {name} {{ #clep.{name} }}\n", f"{summary(public.__doc__)}\n", *_options(public)]
        elif inspect.isclass(public) or inspect.isfunction(public):
            page += [f"::: {public.__module__}.{public.__qualname__}\n"]
            if (spec := taken_by(public)) is not None:
                page += [f"**Options of `{name}`**, as keywords:\n", *_options(spec)]
    return "\n".join(page)


def _options(spec: type[specs.Spec]) -> list[str]:
    """The options of a spec as a table."""
    hints, rows = hints_of(spec), []
    for field in spec.declared():
        kind = hints[field.name]
        if _is_spec(kind):
            link = f"[`{kind.__name__}`](#clep.{kind.__name__})"
            rows.append((f"`{field.name}`", link, "its defaults", field.metadata["meaning"]))
        else:
            rows.append(_row(field.name, kind, field, spec.default(field.name)))
    return _table(("option", "value", "default", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A Markdown table, or nothing if it has no rows."""
    if not rows:
        return []
    lines = [head, ("---",) * len(head), *rows]
    return ["\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"]
