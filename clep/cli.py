"""The `clep` command: parse, call a pipeline, print its result. Results go to stdout, everything else to stderr."""

import argparse
import ast
import importlib.util
import json
import os
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

from clep import config
from clep.errors import ClepError, ConfigError, DataError, MissingExtraError, SettlingWarning

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
_LISTED = {"streams": "stream", "networks": "network", "configs": "pipeline", "claims": "claim"}  # folders of configs/
_ITEMS = "a name of `clep list configs` or a YAML file; the values to change, as `clep show` prints them"
_OPEN = "Open the results: "
_INDENT = 18
_EXAMPLES = {
    "clep": """\
  clep run                                            naive fine-tuning on digits, the first thing to try
  clep run strategies=[awake_rehearsal,sleep_replay]  two strategies, composed
  clep compare seeds=[0,1,2] workers=3                a table of strategies, mean and std over seeds
  clep list                                           strategies, streams, networks and configs""",
    "run": """\
  clep run strategies=sleep_replay strategy.sleep_replay.steps=2000
  clep run mnist network.hidden=[400] learner.epochs=2 seed=1
  clep run my.yaml stream.class_order=fixed --json > result.json""",
    "compare": """\
  clep compare
  clep compare mnist cells=[[naive],[sleep_replay],[joint]] seeds=[0,1,2,3,4,5] workers=4
  clep compare my.yaml --json > comparison.json""",
    "reproduce": """\
  clep reproduce sleep_mnist --small                   the cells on digits, a quick look
  clep reproduce sleep_mnist workers=4 data.root=DATA  the whole table; started again, it goes on where it stopped
  clep reproduce my_claim.yaml --output results""",
    "tune": """\
  clep tune strategies=sleep_replay
  clep tune mnist strategies=[ewc] tune.trials=30 workers=3 --output ewc.yaml
  clep tune strategies=naive tune.space='{learner.lr: {low: 0.001, high: 0.1, log: true}}'""",
    "steps": """\
  clep steps
  clep steps network=ep network.hidden=[256,256] learner.epochs=20
  clep steps mnist_ep --json > steps.json""",
    "bench": "  clep bench\n  clep bench mlp1 --threads 2 --json\n  clep bench sleep",
    "list": "  clep list\n  clep list strategies",
    "show": "  clep show\n  clep show mnist network=ep learner.epochs=3 > my.yaml",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 success, 1 a failed run, 2 a usage or config error, 130 Ctrl-C."""
    try:
        arguments = _parse(argv)
    except SystemExit as stop:  # argparse has printed help, version or what is wrong
        return int(stop.code or OK)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # where `strategies=[my_module:MyStrategy]` is looked for, as in `python -m`
    formatted = warnings.formatwarning
    warnings.formatwarning = lambda text, kind, *place: (
        f"clep: warning: {text}\n" if issubclass(kind, SettlingWarning) else formatted(text, kind, *place)
    )
    try:
        with _terminate_as_interrupt():
            return arguments.command(arguments)
    except KeyboardInterrupt:
        _complain("interrupted; a run that had begun is in MLflow as KILLED, with what it had recorded")
        return INTERRUPTED
    except ClepError as error:
        _complain(f"error: {error}")
        return USAGE if isinstance(error, ConfigError | DataError | MissingExtraError) else FAILED
    except Exception as error:
        _complain(f"error: {type(error).__name__}: {error}; set CLEP_TRACEBACK=1 to see the traceback")
        return FAILED
    finally:
        warnings.formatwarning = formatted


def run(arguments: argparse.Namespace) -> int:
    """Run one strategy set for one seed."""
    composed = config.compose(*_config_and_overrides(arguments.items))
    with _stdout_on_stderr():
        from clep.pipelines import class_incremental
        from clep.tracking import ui_command

        result = class_incremental.run(composed)
    values = result.to_json()
    lines = f"{_described(values)}\n{_OPEN}{ui_command(result.tracking_uri)}"
    _print(json.dumps(values, allow_nan=False) if arguments.json else lines)
    return OK if result.status == "FINISHED" else FAILED


def compare(arguments: argparse.Namespace) -> int:
    """Run the cells of a comparison over its seeds."""
    composed = config.compose(*_config_and_overrides(arguments.items))
    with _stdout_on_stderr():
        from clep.pipelines import compare as pipeline
        from clep.report import format_table
        from clep.tracking import ui_command

        comparison = pipeline.compare(composed)
    values, phases = comparison.to_json(), Counter[str]()
    for one in values["runs"]:
        phases.update(one["seconds"])
        if one["status"] != "FINISHED":
            what = f"{config.label(one['strategies'])}, seed {one['seed']}"
            print(f"clep: {what}: {one['status']}: {one.get('error')}", file=sys.stderr)
    seconds = _seconds({**phases, **values["seconds"]})  # phases of all runs, the total of the clock
    lines = format_table(comparison.table), seconds, _OPEN + ui_command(values["tracking_uri"])
    _print(json.dumps(values, allow_nan=False) if arguments.json else "\n".join(lines))
    return FAILED if comparison.failed else OK


def reproduce(arguments: argparse.Namespace) -> int:
    """Run the cells of a claim over its seeds and write its table; goes on where it stopped."""
    name, changes = _config_and_overrides(arguments.items)
    if name is None:
        raise ConfigError(
            f"reproduce: name a claim: {', '.join(config.builtin('claim'))}, or a path that ends in .yaml"
        )
    with _stdout_on_stderr():
        from clep import claims
        from clep.pipelines import reproduce as pipeline
        from clep.tracking import ui_command

        claim = claims.read(config.find("claim", name), name)
        table = pipeline.run(claim, changes, small=arguments.small, output=arguments.output, figure=arguments.figure)
    lines = f"{table.markdown}\nWritten to {', '.join(map(str, table.files))}\n{_OPEN}{ui_command(table.tracking_uri)}"
    _print(json.dumps(table.rows, allow_nan=False) if arguments.json else lines)
    return FAILED if table.failed else OK


def tune(arguments: argparse.Namespace) -> int:
    """Search a strategy set's hyperparameters on validation data; goes on where it stopped."""
    composed = config.compose(*_config_and_overrides(arguments.items))
    with _stdout_on_stderr():
        from clep.pipelines import tune as pipeline
        from clep.tracking import ui_command

        tuned = pipeline.run(composed)
        pipeline.write(tuned, arguments.output)
    lines = [f"{'trial':>5}  accuracy", *(f"{number:5d}  {accuracy:.4f}" for number, accuracy, _ in tuned.trials[:10])]
    lines += ["", *(f"{key}: {value}" for key, value in tuned.values.items())]
    lines += ["", f"Use the best: clep run {arguments.output}", _OPEN + ui_command(tuned.tracking_uri)]
    _print(json.dumps(tuned.to_json(), allow_nan=False) if arguments.json else "\n".join(lines))
    return OK


def steps(arguments: argparse.Namespace) -> int:
    """Train a network, then measure how many relaxation steps its gradient needs."""
    composed = config.compose(*_config_and_overrides(arguments.items))
    with _stdout_on_stderr():
        from clep.pipelines import steps as pipeline

        measured = pipeline.run(composed)
    _print(json.dumps(measured.to_json(), allow_nan=False) if arguments.json else pipeline.format_steps(measured))
    return OK


def bench(arguments: argparse.Namespace) -> int:
    """Time whole updates beside an autograd baseline and the machine's matrix products, or a sleep beside torch."""
    with _stdout_on_stderr():
        from clep import bench as benchmark

        timings = benchmark.bench(arguments.cases, threads=arguments.threads)
    _print(benchmark.to_json(timings) if arguments.json else benchmark.format_timings(timings))
    return OK


def list_names(arguments: argparse.Namespace) -> int:
    """Print what there is to choose from."""
    if arguments.what:
        _print("\n".join(_columns(_rows(arguments.what))))
    else:
        _print("\n\n".join("\n  ".join([f"{what}:", *_columns(_rows(what))]) for what in ("strategies", *_LISTED)))
    return OK


def show(arguments: argparse.Namespace) -> int:
    """Print a composed config as YAML."""
    _print(config.to_yaml(config.compose(*_config_and_overrides(arguments.items))).rstrip())
    return OK


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _describe(argparse.ArgumentParser(prog="clep", description="Continual learning in equilibrium networks."))
    parser.add_argument("--version", action="version", version=f"clep {metadata.version('clep')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = {"run": run, "compare": compare, "reproduce": reproduce, "tune": tune}
    named |= {"steps": steps, "bench": bench, "list": list_names, "show": show}
    for name, command in named.items():
        sub = _describe(commands.add_parser(name, help=command.__doc__, description=command.__doc__))
        sub.set_defaults(command=command)
        _ARGUMENTS.get(command, _add_config)(sub)
        if command in (reproduce, tune):
            folder = "FOLDER" if command is reproduce else "FILE"
            default, of = ("docs/results", "the tables") if command is reproduce else ("tuned.yaml", "the best config")
            sub.add_argument("--output", default=default, metavar=folder, help=f"of {of} ({default})")
        if command is reproduce:
            sub.add_argument("--small", action="store_true", help="a quick look: small data, two seeds")
            sub.add_argument("--figure", action="store_true", help="write the figure of a grid beside its table")
        if command not in (show, list_names):
            sub.add_argument("--json", action="store_true", help="print JSON instead of text")
    arguments, rest = parser.parse_known_args(argv)
    if rest and ("items" not in arguments or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.items = [*getattr(arguments, "items", []), *rest]  # argparse stops collecting at the first option
    return arguments


def _add_config(sub: argparse.ArgumentParser) -> None:
    claim = sub.prog.endswith(" reproduce")
    sub.usage = f"{sub.prog} [-h] [options] {'CLAIM' if claim else '[CONFIG]'} [key=value ...]"
    sub.add_argument("items", nargs="*", metavar="CLAIM, key=value" if claim else "CONFIG, key=value", help=_ITEMS)


def _add_cases(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("cases", nargs="*", metavar="CASE", help="mlp1, mlp2, mlp1_long, conv4 (these if left out), sleep")
    sub.add_argument("--threads", type=int, default=1, help="threads of torch (1)")


def _add_what(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("what", nargs="?", choices=["strategies", *_LISTED], help="everything if left out")


_ARGUMENTS = {bench: _add_cases, list_names: _add_what}


def _describe(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the examples of this command to its help."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"examples:\n{_EXAMPLES[parser.prog.rpartition(' ')[2]]}"
    return parser


def _config_and_overrides(items: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The first word is CONFIG if it holds no `=`."""
    return (items[0], items[1:]) if items and "=" not in items[0] else (None, items)


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Send to stderr what is printed meanwhile, by this process and by those it starts."""
    if sys.stderr.isatty():
        print("clep: loading torch, Lightning, Avalanche and MLflow ...", file=sys.stderr)
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let `kill` end a command as Ctrl-C does: with its runs closed."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader has left; the flush at exit must not fail too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    """Print one line on stderr, below the traceback if it is asked for."""
    if os.environ.get("CLEP_TRACEBACK"):
        traceback.print_exc()
    print(f"clep: {' '.join(text.split())}", file=sys.stderr)


def _described(values: dict[str, Any]) -> str:
    """Return the lines that describe one run."""
    facts = {"strategies": config.label(values["strategies"]), "seed": values["seed"], "status": values["status"]}
    for key in ("accuracy", "forgetting", "learned_accuracy"):
        facts[key.replace("_", " ")] = _number(values[key]).strip()
    facts |= {"accuracy matrix": "(row: trained up to this experience; column: tested on this one)"}
    rows = ["  ".join(map(_number, row)) for row in values["accuracy_matrix"] or []]
    lines = [*(f"{name:{_INDENT}}{fact}" for name, fact in facts.items()), *(" " * _INDENT + row for row in rows)]
    return "\n".join([*lines, _seconds(values["seconds"])])


def _number(value: float | None) -> str:
    return "-".center(5) if value is None else f"{value:.3f}"


def _seconds(phases: Mapping[str, float]) -> str:
    return f"{'seconds':{_INDENT}}{', '.join(f'{phase} {seconds:.1f}' for phase, seconds in phases.items())}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _rows(what: str) -> Sequence[Sequence[str]]:
    return list(config.builtin(_LISTED[what]).items() if what in _LISTED else _strategies())


def _strategies() -> Iterator[tuple[str, str, str]]:
    """Yield name, import path and description of every registered strategy, without importing it."""
    described = config.builtin("strategy")
    for entry in sorted(metadata.entry_points(group="clep.strategies"), key=lambda entry: entry.name):
        yield entry.name, entry.value, _first_docline(entry) or described.get(entry.name, "")


def _first_docline(entry: metadata.EntryPoint) -> str:
    """Return the first line of the docstring of one of clep's own strategies, read from its source."""
    spec = importlib.util.find_spec(entry.module) if entry.module.startswith("clep.") else None
    if not spec or not spec.origin:
        return ""
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == entry.attr]
    return (ast.get_docstring(found[0]) or "").partition("\n")[0] if found else ""


if __name__ == "__main__":
    sys.exit(main())
