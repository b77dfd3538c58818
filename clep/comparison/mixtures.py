"""Which runs may stand in one table: those on the same data, measured in the same way."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from clep.errors import ConfigError
from clep.identity import UNREADABLE, Identity
from clep.results import Result
from clep.tracking import StoredRun

_NAMED = 3  # cells in a refusal


def _classes(run: StoredRun) -> str | None:
    order = run.tags.get("class_order")
    return None if order is None else ",".join(sorted(order.split(","), key=lambda label: (len(label), label)))


def _options(params: Mapping[str, str]) -> str | None:
    """The options of the scenario; None for a run that was recorded before there were scenarios."""
    if "stream.scenario" not in params:
        return None
    prefix = "stream.scenario_options."
    found = {key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)}
    return ", ".join(f"{key}={value}" for key, value in sorted(found.items())) or "none"


def _data(run: StoredRun) -> str | None:
    known = Identity.from_tags(run.tags)
    return None if known is None or known.data == UNREADABLE else known.data


_FACTS: dict[str, Callable[[StoredRun], str | None]] = {
    "stream": lambda run: run.tags.get("stream"),
    "data": _data,
    "stream.path": lambda run: run.params.get("stream.path"),
    "stream.scenario": lambda run: run.params.get("stream.scenario"),
    "stream.scenario_options": lambda run: _options(run.params),
    "stream.experiences": lambda run: run.params.get("stream.experiences"),
    "classes": _classes,
    "stream.evaluate_on": lambda run: run.tags.get("evaluate_on"),
    "stream.evaluation_samples": lambda run: run.params.get("stream.evaluation_samples"),
}
"""What must be the same in all runs, whatever the version that recorded it; None where it was not recorded."""


def refuse_mixture(runs: Sequence[tuple[StoredRun, str]]) -> None:
    """Refuse runs on different data.

    Args:
        runs: the runs with the labels of their cells.

    Raises:
        ConfigError: with what differs.

    Example:
        >>> from clep.tracking import StoredRun
        >>> def run(stream):
        ...     return StoredRun("a", "1", "FINISHED", 0, {"stream": stream}, {})
        >>> refuse_mixture([(run("digits"), "naive"), (run("digits"), "ewc")])
        >>> refuse_mixture([(run("digits"), "naive"), (run("mnist"), "ewc")])
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: stream: expected the same in all runs, got `digits` in 1 run (naive), `mnist` in 1 \
run (ewc); choose runs by --filter, as in --filter "tags.stream = 'digits'", or add --mixed
    """
    facts = dict(_FACTS)
    if all(_data(run) for run, _ in runs):
        del facts["stream.path"]  # the same data may lie in several places
    for name, fact in facts.items():
        _refuse_differing(name, [(value, label) for run, label in runs if (value := fact(run)) is not None])


def refuse_sizes(results: Sequence[Result]) -> None:
    """Refuse results on different numbers of evaluation samples, where they are known.

    Args:
        results: the results.

    Raises:
        ConfigError: with the numbers.
    """
    _refuse_differing("evaluation samples", [(str(sum(r.sizes)), r.label) for r in results if r.sizes])


def _refuse_differing(name: str, values: Sequence[tuple[str, str]]) -> None:
    counted = Counter(value for value, _ in values)
    if len(counted) < 2:
        return
    said = []
    for value, count in counted.items():
        cells = sorted({label for other, label in values if other == value})
        more = ", ..." if len(cells) > _NAMED else ""
        said.append(f"`{value}` in {count} run{'s' * (count > 1)} ({', '.join(cells[:_NAMED])}{more})")
    fix = "choose runs by --filter, as in --filter \"tags.stream = 'digits'\", or add --mixed"
    raise ConfigError(f"{name}: expected the same in all runs, got {', '.join(said)}; {fix}")
