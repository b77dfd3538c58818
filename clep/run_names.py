"""What MLflow calls runs, one function for each kind of run."""

from collections.abc import Collection

from clep.config import Config, label


def of_run(config: Config) -> str:
    """One set of strategies with one seed.

    Args:
        config: what is run.

    Example:
        >>> from clep.config import compose
        >>> of_run(compose(None, ["strategies=sleep_replay", "seed=3"]))
        'sleep_replay seed 3'
    """
    return f"{label(config.strategies)} seed {config.seed}"


def of_job(label: str, config: Config, varying: Collection[str] = ()) -> str:
    """A run among others: its cell, what else tells it from them, and its seed.

    Args:
        label: of its cell.
        config: what is run.
        varying: which of `network` and `stream` differ among the runs.

    Example:
        >>> from clep.config import compose
        >>> of_job("naive", compose(None, ["network=ep", "seed=1"]), varying=["network", "stream"])
        'naive, ep, digits, seed 1'
    """
    names = {"network": config.network.name, "stream": config.stream.name}
    told = [name for key, name in names.items() if key in varying and name not in label.split()]
    return ", ".join([label, *told, f"seed {config.seed}"]) if told else f"{label} seed {config.seed}"


def of_comparison(config: Config) -> str:
    """The parent of the runs of a comparison.

    Args:
        config: what is compared.

    Example:
        >>> from clep.config import compose
        >>> of_comparison(compose(None, ["cells=[[naive],[joint]]", "seeds=[0,1,2]"]))
        'compare digits: 2 cells x 3 seeds'
    """
    return f"compare {config.stream.name}: {len(config.cells)} cells x {len(config.seeds)} seeds"


def of_claim(name: str) -> str:
    """The parent of the runs of a claim.

    Args:
        name: of its table.

    Example:
        >>> of_claim("sleep_mnist_small")
        'reproduce sleep_mnist_small'
    """
    return f"reproduce {name}"


def of_search(config: Config) -> str:
    """The parent of the trials of a search.

    Args:
        config: what is tuned.

    Example:
        >>> from clep.config import compose
        >>> of_search(compose(None, ["strategies=[ewc,sleep_replay]"]))
        'tune ewc+sleep_replay on digits'
    """
    return f"tune {label(config.strategies)} on {config.stream.name}"


def of_trial(number: int) -> str:
    """A trial of a search.

    Args:
        number: of the trial, from 0.

    Example:
        >>> of_trial(7)
        'trial 7'
    """
    return f"trial {number}"
