"""Old names: each works for one version, with one warning that gives the new name, and is an error after that.

The tables of this file are the only place for renames.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from clep.checks import one_of
from clep.distribution import version
from clep.errors import ConfigError, RenamedWarning, within

LAST = (0, 1)
"""The last version, (major, minor), in which old names work."""

MODULES = {
    "clep.claims.grids": "clep.cells.grids",
    "clep.claims.stability": "clep.columns",
    "clep.comparison.cell": "clep.cells.cell",
    "clep.diagnostics.energy": "clep.diagnostics.operations",
    "clep.equilibrium.neurons": "clep.specs.neurons",
    "clep.equilibrium.stochastic": "clep.equilibrium.bernoulli",
    "clep.estimates": "clep.equilibrium.gradients",
    "clep.spiking": "clep.sleep",
    "clep.spiking.compiled": "clep.compiling",
    "clep.spiking.kernels": "clep.sleep.rule",
    "clep.spiking.rule": "clep.sleep.rule",
    "clep.spiking.simulation": "clep.sleep.simulation",
    "clep.spiking.spikes": "clep.sleep.spikes",
}
"""Old module -> new module."""

_MOVED = {  # module -> (its new module, names that moved there)
    "clep.datasets": {
        "clep.datasets.cifar10": ["CIFAR10_FILES"],
        "clep.datasets.idx": ["IDX_FILES"],
    },
    "clep.datasets.readers": {
        "clep.datasets.cifar10": ["read_cifar_batch"],
        "clep.datasets.idx": ["read_idx"],
        "clep.datasets.npz": ["NPZ_KEYS", "read_npz"],
    },
    "clep.strategy": {
        "clep.registry": ["build", "defaults", "find", "names", "parameters"],
    },
    "clep.tracking": {
        "clep.metric_names": [
            "ACCURACY_AVERAGE",
            "ACCURACY_EPOCH",
            "ACCURACY_EXPERIENCE",
            "ACCURACY_LEARNED",
            "ACCURACY_LEARNED_BEFORE",
            "ACCURACY_SEEN",
            "BACKWARD_TRANSFER",
            "FINAL_ACCURACY",
            "FINAL_BACKWARD_TRANSFER",
            "FINAL_FORGETTING",
            "FINAL_LEARNED_ACCURACY",
            "FORGETTING_AVERAGE",
            "FORGETTING_EXPERIENCE",
            "FORGETTING_MAX_AVERAGE",
            "FORWARD_TRANSFER",
            "MEMORY_EXEMPLARS",
            "MEMORY_EXEMPLAR_BYTES",
            "MEMORY_STATISTICS_BYTES",
            "SLEEP_ACCURACY_AFTER",
            "SLEEP_ACCURACY_BEFORE",
            "SLEEP_FIRING_RATE",
            "SLEEP_WEIGHT_CHANGE",
            "TIME_CONSOLIDATION",
            "TIME_EVAL",
            "TIME_TRAIN",
            "TRAIN_ACCURACY",
            "TRAIN_LOSS",
        ],
    },
}

NAMES = {
    ("clep", "ContinualNudging"): ("clep", "CEP"),
    **{
        (module, old): new
        for module in ("clep.config", "clep.schema")
        for old, new in {
            "DataConfig": ("clep.schema", "DataSection"),
            "DendritesConfig": ("clep.specs", "Dendrites"),
            "LearnerConfig": ("clep.specs", "LearnerSpec"),
            "NetworkConfig": ("clep.specs", "NetworkSection"),
            "StreamConfig": ("clep.specs", "StreamSpec"),
            "TimeStepConfig": ("clep.specs", "TimeStep"),
            "TrackingConfig": ("clep.schema", "TrackingSection"),
            "TuneConfig": ("clep.schema", "TuneSection"),
        }.items()
    },
    ("clep.strategy", "touches_loss"): ("clep.strategy", "capabilities"),
    ("clep.equilibrium", "BernoulliDynamics"): ("clep.equilibrium", "Bernoulli"),
    ("clep.equilibrium", "ContinualNudging"): ("clep.equilibrium", "CEP"),
    ("clep.equilibrium", "FIRINGS"): ("clep.equilibrium", "DYNAMICS"),
    ("clep.equilibrium.stochastic", "BernoulliDynamics"): ("clep.equilibrium", "Bernoulli"),
    ("clep.tracking", "Found"): ("clep.tracking", "StoredRun"),
    ("clep.tracking", "FEEDBACK_ANGLE"): ("clep.metric_names", "TRAIN_FEEDBACK_ANGLE"),
    ("clep.tracking", "FREE_STEPS"): ("clep.metric_names", "TRAIN_FREE_STEPS"),
    ("clep.tracking", "RESIDUAL"): ("clep.metric_names", "TRAIN_RESIDUAL"),
    ("clep.tracking", "UNSETTLED"): ("clep.metric_names", "TRAIN_UNSETTLED"),
    **{(old, name): (new, name) for old, moved in _MOVED.items() for new, names in moved.items() for name in names},
}
"""(module, old name) -> (module, new name)."""


def announce(old: str, new: str) -> None:
    """Warn that `old` is now `new`.

    Raises:
        ConfigError: with the same sentence, in versions after `LAST`.
    """
    text = f"`{old}` is now `{new}`; the old form works in version {LAST[0]}.{LAST[1]} and no longer after it"
    if tuple(map(int, version().split(".")[:2])) > LAST:
        raise ConfigError(text)
    warnings.warn(text, RenamedWarning, stacklevel=_frames_inside())


def _frames_inside() -> int:
    """The stack level of the first caller outside clep, whose line a warning should show."""
    package, frame, level = os.path.dirname(__file__), sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith((package, "<frozen importlib")):
        level += not frame.f_back.f_code.co_filename.startswith("<frozen importlib")  # warnings do not count those
        frame = frame.f_back
    return level


def renamed(module: str, name: str) -> Any:
    """What an old name of a module stands for: the body of its `__getattr__`.

    Raises:
        AttributeError: for a name that the module never had.
    """
    if (module, name) not in NAMES:
        raise AttributeError(f"module '{module}' has no attribute '{name}'")
    home, new = NAMES[module, name]
    announce(f"{module}.{name}", f"{home}.{new}")
    return getattr(importlib.import_module(home), new)


class _OldModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules by their old names; Python asks it last, when no other finder knew the module."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        known = fullname in MODULES or fullname in _MOVED
        package = any(name.startswith(f"{fullname}.") for name in MODULES)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=package) if known else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name, "An old name.")
        if spec.name in MODULES:
            package, _, tail = spec.name.rpartition(".")
            if (
                MODULES[spec.name] != f"{MODULES.get(package)}.{tail}"
            ):  # otherwise importing the package has announced it
                announce(spec.name, MODULES[spec.name])
            new = importlib.import_module(MODULES[spec.name])
            module.__dict__.update({name: value for name, value in vars(new).items() if not name.startswith("__")})
        module.__getattr__ = functools.partial(renamed, spec.name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: `create_module` has filled it."""


def find_old_modules() -> None:
    """Make old import paths work."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())


_ALL_OF_SLEEP = {"steps", "rate", "decay", "threshold", "increment", "decrement_ratio", "gate_width", "gate", "bounds"}


def with_new_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """One layer of a configuration with its old keys renamed; sections are not changed in place."""
    new = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    network, learner = (new.get(name) for name in ("network", "learner"))
    if isinstance(learner, dict) and "nudging" in learner:
        value = learner.pop("nudging")
        learner["gradient"] = "cep" if value == "continual" else value
        announce(
            *(
                ("learner.nudging=continual", "learner.gradient=cep")
                if value == "continual"
                else ("learner.nudging", "learner.gradient")
            )
        )
    if isinstance(network, dict):
        _rename_network_keys(new, network)
    strategies = new.get("strategy")
    sleep = strategies.get("sleep_replay") if isinstance(strategies, dict) else None
    if isinstance(strategies, dict) and isinstance(sleep, Mapping) and sleep.get("statistics") == "poisson":
        strategies["sleep_replay"] = {**sleep, "statistics": "seen", "spikes": "poisson"}
        announce("strategy.sleep_replay.statistics=poisson", "strategy.sleep_replay.spikes=poisson")
    if isinstance(strategies, dict) and isinstance(sleep, Mapping) and sleep.keys() >= _ALL_OF_SLEEP:
        # Stored with all of its parameters, before sleep could calibrate itself.
        strategies["sleep_replay"] = {"calibration": "published", **strategies["sleep_replay"]}
    return new


def _rename_network_keys(layer: dict[str, Any], network: dict[str, Any]) -> None:
    complete = "firing" in network  # an old configuration with all of its keys, as runs store it
    if "rule" in network:
        section = layer.setdefault("learner", {})
        section.setdefault("rule", network.pop("rule"))
        announce("network.rule", "learner.rule")
    if "firing" in network:
        with within("network"):
            spikes = one_of("firing", network.pop("firing"), ["bernoulli", "rate"]) == "bernoulli"
        network["dynamics"] = "bernoulli" if spikes else network.get("dynamics", "prototypical")
        announce("network.firing", "network.dynamics")
    branches = network.get("dendrites", {})
    if branches is None:
        del network["dendrites"]
        network.setdefault("feedback", "tied")
        announce("network.dendrites=null", "network.feedback=tied")
    elif complete and branches:
        network["feedback"] = "dendritic"
        announce("network.dendrites", "network.feedback=dendritic with network.dendrites")


def branches_without_feedback(layers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether layers ask for dendrites in the old way, by just giving the section `network.dendrites`."""
    networks = [network for layer in layers if isinstance(network := layer.get("network"), Mapping)]
    old = any("dendrites" in network for network in networks) and not any("feedback" in n for n in networks)
    if old:
        announce("network.dendrites without network.feedback", "network.feedback=dendritic with network.dendrites")
    return old


def of_checkpoint(network: Mapping[str, Any], gradient: Any) -> tuple[Mapping[str, Any], Any]:
    """Arguments of a network and a gradient from an old checkpoint, under their new names."""
    if "model" in network:
        return network, gradient
    network = dict(network)
    rule = network.pop("rule", "contrast")
    network["model"] = "feedforward" if "activation" in network else "equilibrium"
    if network.pop("firing", "rate") == "bernoulli":
        network["dynamics"] = "bernoulli"
    branches = network.pop("dendrites", None)
    if branches is not None:
        network |= {"feedback": "dendritic", "dendrites": branches}
    if not (isinstance(gradient, Mapping) and "nudging" in gradient):
        return network, gradient
    options = dict(gradient)
    name = options.pop("nudging")
    if name == "bptt":
        return network, {"name": name, "bptt_steps": options.get("steps")}
    return network, {"name": "cep" if name == "continual" else name, "rule": rule, **options}


def of_network(options: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a network, with old ones renamed."""
    new = dict(options)
    if "nudging" in new:
        new["gradient"] = new.pop("nudging")
        announce("Network(nudging=...)", "Network(gradient=...)")
    if "firing" in new:
        new["dynamics"] = "bernoulli" if new.pop("firing") == "bernoulli" else new.get("dynamics", "prototypical")
        announce("Network(firing=...)", "Network(dynamics=...)")
    if "dendrites" in new and "feedback" not in new:
        if new["dendrites"] is None:
            del new["dendrites"]
        else:
            new["feedback"] = "dendritic"
        announce("Network(dendrites=...)", "Network(feedback='dendritic', dendrites=...)")
    return new
