"""What a page says beside numbers: where they come from, and the commands that give them again."""

import dataclasses
import json
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

from clep import distribution, tracking
from clep.cells import without_controls
from clep.config import Config, compose, public, to_dict, to_yaml

_PACKAGES = (distribution.NAME, "torch", "numpy", "pytorch-lightning", "avalanche-lib", "mlflow", "scipy")
_OF_THE_MACHINE = {"data", "tracking", "workers"}  # sections and keys that change no number
_OF_OTHERS = {"clep run": {"cells", "controls", "seeds", "tune"}, "clep compare": {"strategies", "seed", "tune"}}
_MORE_SEEDS = 3


@dataclass(frozen=True)
class About:
    """The foot of a page.

    Attributes:
        configuration: as YAML; empty if there is none for all runs.
        code: version and commit behind the numbers, one line each.
        commands: what a command does -> the command.
        notes: more to know, one sentence each.

    Example:
        >>> About(commands={"Repeat it": "clep run"}).commands["Repeat it"]
        'clep run'
    """

    configuration: str = ""
    code: Sequence[str] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def about_comparison(config: Config, uri: str, run_id: str, code: Sequence[str]) -> About:
    """The foot of the page of a comparison.

    Args:
        config: what was compared.
        uri, run_id: where MLflow keeps it.
        code: version and commit behind its results, one line each.

    Example:
        >>> from clep.config import compose
        >>> about = about_comparison(compose(None, ["seeds=[0,1]"]), "sqlite:////tmp/mlflow.db", "abc", [])
        >>> about.commands["Repeat it"], about.commands["Add seeds"]
        ("clep compare 'seeds=[0, 1]'", "clep compare --into abc 'seeds=[2,3,4]' tracking.uri=sqlite:////tmp/mlflow.db")
    """
    first = max(config.seeds, default=-1) + 1
    more = ",".join(map(str, range(first, first + _MORE_SEEDS)))
    commands = {
        "Repeat it": command("clep compare", config),
        "Add seeds": tracking.into_command(run_id, uri, f"seeds=[{more}]"),
        "Open it in MLflow": tracking.ui_command(uri, run_id),
    }
    return About(to_yaml(public(config)), code, commands)


def about_run(config: Config, uri: str, run_id: str) -> About:
    """The foot of the page of a run.

    Args:
        config: what was run.
        uri, run_id: where MLflow keeps it.

    Example:
        >>> from clep.config import compose
        >>> about_run(compose(None, ["seed=3"]), "sqlite:////tmp/mlflow.db", "abc").commands["Repeat it"]
        'clep run seed=3'
    """
    commands = {
        "Repeat it": command("clep run", config),
        "Open it in MLflow": tracking.ui_command(uri, run_id),
        "Load it in Python": f'clep.load("{run_id}")',
    }
    return About(to_yaml(public(config)), (), commands)


def command(words: str, config: Config) -> str:
    """The command that does the same again: what differs from the defaults, as changes of keys.

    Args:
        words: `clep run` or `clep compare`; keys that it does not read are left out, as are those of the machine.
        config: what it did.

    Example:
        >>> from clep.config import compose
        >>> print(command("clep run", compose(None, ["strategies=sleep_replay", "strategy.sleep_replay.every=2"])))
        clep run 'strategies=["sleep_replay"]' strategy.sleep_replay.every=2
    """
    left_out = _OF_THE_MACHINE | _OF_OTHERS[words]
    config = dataclasses.replace(config, cells=without_controls(config))
    given = {key: value for key, value in to_dict(config).items() if key not in left_out}
    return shlex.join([*words.split(), *_changes(given, _defaults())])


@cache
def _defaults() -> dict[str, Any]:
    return to_dict(compose())


def _changes(values: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, Mapping) and value:
            yield from _changes(value, default if isinstance(default, Mapping) else {}, f"{prefix}{key}.")
        elif key not in defaults or value != default:
            yield f"{prefix}{key}={value if isinstance(value, str) else json.dumps(value)}"


@cache
def packages() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on, on this machine.

    Example:
        >>> list(packages())[:2]
        ['Python', 'clep-lab']
    """
    return {"Python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}
