"""Labels of cells that come from several comparisons: one label may stand for several configurations."""

from collections.abc import Sequence

from clep.config import Config, to_dict
from clep.schema import NOT_OF_A_RESULT
from clep.tracking import StoredRun, flatten

_NEUTRAL = flatten(to_dict(Config()))
_NAMES = ("stream.name", "network.name")  # a label says these without their keys
_MOST_KEYS = 3  # in a label; more would not be read
_Values = dict[str, str]


def told_apart(runs: Sequence[tuple[StoredRun, str]]) -> dict[str, str]:
    """The label of each run, longer where runs of one label have different configurations.

    Args:
        runs: the runs with the labels of their cells.

    Returns:
        Id of the run -> label; the same for the seeds of one configuration.

    Example:
        >>> from clep.tracking import StoredRun
        >>> def run(run_id, lr):
        ...     return StoredRun(run_id, "1", "FINISHED", 0, {}, {"learner.lr": lr})
        >>> told_apart([(run("a", "0.1"), "naive"), (run("b", "0.2"), "naive"), (run("c", "0.3"), "other")])
        {'a': 'naive (lr=0.1)', 'b': 'naive (lr=0.2)', 'c': 'other'}
    """
    by_id = {run.run_id: run for run, _ in runs}
    labels = {run.run_id: label for run, label in runs}
    alike: dict[tuple[str, str | None], list[str]] = {}
    for run_id, label in labels.items():
        alike.setdefault((label, by_id[run_id].params.get("strategies")), []).append(run_id)
    kinds: dict[str, _Values] = {}
    for ids in alike.values():
        kinds |= _shared(ids, {run_id: _identity(by_id[run_id]) for run_id in ids})
    told: dict[str, str] = {}
    for label in dict.fromkeys(labels.values()):
        ids = [run_id for run_id, own in labels.items() if own == label]
        several: list[_Values] = []
        several.extend(kinds[run_id] for run_id in ids if kinds[run_id] not in several)
        names = _names(label, several)
        told |= {run_id: names[several.index(kinds[run_id])] for run_id in ids}
    return told


def _identity(run: StoredRun) -> _Values:
    """What a result depends on, apart from its seed: the parameters that are not as in an empty configuration.

    So a key that a later version added, with its default, makes no other configuration.
    """
    apart = {*NOT_OF_A_RESULT, "seed"}
    given = {key: value for key, value in run.params.items() if key.partition(".")[0] not in apart}
    return {key: value for key, value in given.items() if _NEUTRAL.get(key) != value}


def _shared(ids: Sequence[str], identities: dict[str, _Values]) -> dict[str, _Values]:
    """The identities without parameters of strategies that not all of them know: a version may have added them."""
    common = set.intersection(*(set(identities[run_id]) for run_id in ids))
    return {
        run_id: {key: value for key, value in values.items() if not key.startswith("strategy.") or key in common}
        for run_id, values in identities.items()
    }


def _names(label: str, kinds: Sequence[_Values]) -> list[str]:
    """A label for each of several configurations."""
    if len(kinds) == 1:
        return [label]
    keys = sorted({key for kind in kinds for key in kind if any(other.get(key) != kind[key] for other in kinds)})
    names = [key for key in keys if key in _NAMES]
    others = [key for key in keys if key not in _NAMES][:_MOST_KEYS]
    labels: list[str] = []
    for kind in kinds:
        values = {key: kind.get(key, _NEUTRAL.get(key, "-")) for key in keys}
        said = [*(values[key] for key in names), *(f"{key.rpartition('.')[2]}={values[key]}" for key in others)]
        name = f"{label} ({', '.join(said)})"
        again = sum(known == name or known.startswith(f"{name} #") for known in labels)
        labels.append(f"{name} #{again + 1}" if again else name)
    return labels
