"""What has no meaning together: every row of the table refuses an example and lets its neighbour pass."""

import os
import subprocess
import sys
from typing import NamedTuple

import pytest
import yaml

from clep.config import builtin, compose, to_yaml
from clep.equilibrium import Network
from clep.equilibrium.gradients import gradient_class
from clep.errors import ConfigError, UnusedWarning
from clep.learner import Learner
from clep.schema import Config, construct
from clep.specs import LearnerSpec, NetworkSection, NetworkSpec, Optimization
from clep.specs.idle import IDLE
from clep.specs.refusals import REFUSALS, Setup, refuse


class Example(NamedTuple):
    """Options of which one, `key`, has no meaning as `wrong`; as `right` it has."""

    key: str
    wrong: str
    right: str
    says: str
    others: str = ""

    def overrides(self, value: str) -> list[str]:
        return [*self.others.split(), f"{self.key}={value}"]


SPIKES, BRANCHES = "network.dynamics=bernoulli", "network.feedback=dendritic"
CEP = "learner.gradient=cep learner.momentum=0"
HOLOMORPHIC = "learner.phases=holomorphic network.neuron=tanh"
DEEP = "network.hidden=[9,8,7]"
STEPS = "network.time_step"
FEEDFORWARD_NETWORK = "network=feedforward"
OWN = "network.connection=clep.equilibrium.connections:Dense"

EXAMPLES = {
    "feedforward_networks_are_dense": [
        Example("network.channels", "[4]", "[]", "only dense layers", "network=feedforward")
    ],
    "feedforward_networks_do_not_relax": [
        Example("network.feedback", "untied", "tied", "leave out feedback=untied", "network=feedforward"),
        Example("network.readout", "linear", "state", "leave out readout=linear", "network=feedforward"),
    ],
    "other_networks_have_one_learning_rate": [
        Example("learner.lr_scale", "[1,1]", "[]", "has one learning rate", "network=feedforward")
    ],
    "feedforward_activations_are_their_own": [
        Example(
            "network.neuron",
            "tahn",
            "tanh",
            "unknown activation `tahn`; did you mean `tanh`?",
            "network.model=feedforward",
        )
    ],
    "activations_are_known": [
        Example("network.neuron", "hard_sigmoi", "hard_sigmoid", "did you mean `hard_sigmoid`?"),
        Example("network.neuron", "relu", "tanh", "Name your own neuron by its import path, `my_module:MyPart`"),
    ],
    "energies_need_symmetric_feedback": [
        Example("network.feedback", "untied", "tied", "got feedback=untied", "network.dynamics=energy"),
        Example(
            "network.feedback_scale", "0.5", "1", "got feedback=tied, feedback_scale=0.5", "network.dynamics=energy"
        ),
    ],
    "branches_follow_no_spikes": [
        Example("network.dynamics", "bernoulli", "prototypical", "the mean over spikes of a rectified sum", BRANCHES)
    ],
    "branches_have_a_gain": [Example("network.feedback_scale", "0.5", "1", "`dendrites.gain`", BRANCHES)],
    "branches_join_neighbours": [
        Example("network.residual_links", "2", "0", "links across layers have no branches", f"{BRANCHES} {DEEP}")
    ],
    "branches_join_dense_layers": [
        Example(
            "network.feedback", "dendritic", "untied", "this network has convolutional ones", "network.channels=[4]"
        )
    ],
    "branches_need_dendritic_feedback": [
        Example(
            "network.feedback", "tied", "dendritic", "they belong to feedback=dendritic", "network.dendrites.gain=0.1"
        )
    ],
    "own_connections_are_tied": [
        Example("network.feedback", "untied", "tied", "brings its own feedback", OWN),
        Example("network.feedback", "dendritic", "tied", "brings its own feedback", OWN),
    ],
    "links_span_hidden_layers": [
        Example("network.residual_links", "3", "2", "a span from 2 to 2 between the 3 hidden layers, got 3", DEEP),
        Example("network.residual_links", "1", "0", "a span from 2 to 2", DEEP),
        Example("network.residual_links", "2", "0", "this network has 2), got 2", "network.hidden=[9,8]"),
    ],
    "links_join_dense_layers": [
        Example(
            "network.channels", "[4]", "[]", "this network has convolutional ones", f"{DEEP} network.residual_links=2"
        )
    ],
    "spikes_need_probabilities": [
        Example(
            "network.neuron", "tanh", "shifted_sigmoid", "probabilities in [0, 1], which neuron=tanh leaves", SPIKES
        )
    ],
    "spikes_never_stand_still": [Example("network.tolerance", "0.1", "0", "no residual can stop a phase", SPIKES)],
    "spikes_need_full_precision": [
        Example("network.precision", "bfloat16", "full", "bfloat16 rounds probabilities", SPIKES)
    ],
    "spikes_pool_by_averages": [
        Example("network.pooling", "max", "average", "the maximum of a few spikes", f"{SPIKES} network.channels=[4]")
    ],
    "averages_fit_into_a_phase": [
        Example("network.average_steps", "7", "6", "from 1 to 6, the steps of the shortest phase", SPIKES)
    ],
    "points_acts": [
        Example("learner.points", "6", "4", "acts only with phases=holomorphic"),
        Example(
            "learner.phases", "centered", "holomorphic", "6 changes nothing", "learner.points=6 network.neuron=tanh"
        ),
    ],
    "start_acts": [Example("learner.start", "mirrored", "free", "where phases are nudged", "learner.gradient=clamped")],
    "options_acts": [
        Example("network.options", "{width: 3}", "{}", "acts only with a part of another package"),
    ],
    "options_acts_in_feedforward": [
        Example("network.options", "{width: 3}", "{}", "acts only with a part of another package", FEEDFORWARD_NETWORK),
    ],
    "neuron_options_acts": [
        Example("network.neuron_options", "{slope: 0.1}", "{}", "acts only with a part of another package"),
    ],
    "connection_options_acts": [
        Example("network.connection_options", "{rank: 2}", "{}", "acts only with a part of another package"),
    ],
    "loss_options_acts": [
        Example("learner.loss_options", "{power: 4}", "{}", "acts only with a part of another package"),
    ],
    "restart_acts": [Example("learner.restart", "true", "false", "acts only with gradient=clamped")],
    "pool_acts": [
        Example("network.pool", "[3]", "[2]", "convolutions (channels) that pool"),
        Example("network.pooling", "none", "average", "that pool", "network.channels=[4] network.pool=[3]"),
    ],
    "momentum_acts": [
        Example("learner.momentum", "0.5", "0.9", "acts only with optimizer=sgd", "learner.optimizer=adam")
    ],
    "no_more_steps_than_were_taken": [
        Example("learner.bptt_steps", "21", "20", "at most network.free_steps=20", "learner.gradient=bptt")
    ],
    "linear_nudging_is_inside": [Example("learner.nudge", "outside", "inside", "not the vector-Jacobian product")],
    "energies_have_no_outside": [
        Example(
            "learner.nudge", "outside", "inside", "do not distinguish", "learner.gradient=cost network.dynamics=energy"
        )
    ],
    "predictive_has_one_second_phase": [
        Example("learner.phases", "centered", "one_sided", "got phases=centered", "learner.rule=predictive"),
        Example(
            "learner.phases",
            "holomorphic",
            "random_sign",
            "got phases=holomorphic",
            "learner.rule=predictive network.neuron=tanh",
        ),
    ],
    "branches_are_not_analytic": [
        Example("learner.phases", "holomorphic", "centered", "rectified branches", f"{BRANCHES} network.neuron=tanh")
    ],
    "holomorphic_needs_an_analytic_activation": [
        Example(
            "network.neuron", "hard_sigmoid", "tanh", "got network.neuron=hard_sigmoid", "learner.phases=holomorphic"
        )
    ],
    "maxima_are_not_analytic": [
        Example("network.pooling", "max", "average", "max pooling", f"{HOLOMORPHIC} network.channels=[4]")
    ],
    "probabilities_are_real": [
        Example(
            "learner.phases",
            "holomorphic",
            "centered",
            "no probabilities of firing",
            f"{SPIKES} network.neuron=shifted_sigmoid",
        )
    ],
    "probabilities_are_not_mirrored": [
        Example("learner.start", "mirrored", "free", "no probabilities of firing", SPIKES)
    ],
    "backpropagation_follows_every_step": [
        Example("network.precision", "bfloat16", "full", "network.precision=full", "learner.gradient=bptt"),
        Example("network.tolerance", "0.1", "0", "network.tolerance=0", "learner.gradient=bptt"),
    ],
    "spikes_are_not_repeated": [
        Example("learner.bptt_steps", "3", "null", "would repeat those of the first", f"{SPIKES} learner.gradient=bptt")
    ],
    "cost_nudging_of_states_is_squared": [
        Example(
            "learner.loss", "cross_entropy", "mse", "needs logits", f"learner.gradient={gradient} learner.momentum=0"
        )
        for gradient in ("cost", "cep")
    ]
    + [
        Example(
            "network.readout", "state", "linear", "needs logits", "learner.gradient=cost learner.loss=cross_entropy"
        )
    ],
    "clamping_is_squared_and_relaxes": [
        Example("learner.loss", "cross_entropy", "mse", "got loss=cross_entropy", "learner.gradient=clamped"),
        Example("network.readout", "linear", "state", "network.readout=linear", "learner.gradient=clamped"),
    ],
    "clamping_needs_reachable_targets": [
        Example("network.neuron", "centered_hard_sigmoid", "hard_sigmoid", "cannot reach", "learner.gradient=clamped")
    ],
    "cep_has_real_phases": [
        Example("learner.phases", "holomorphic", "centered", "got holomorphic", f"{CEP} network.neuron=tanh")
    ],
    "cep_starts_at_the_free_equilibrium": [Example("learner.start", "mirrored", "free", "use start=free", CEP)],
    "cep_has_no_readout": [Example("network.readout", "linear", "state", "no update for a read-out", CEP)],
    "cep_compares_single_steps": [Example("network.dynamics", "bernoulli", "prototypical", "is noise", CEP)],
    "cep_needs_full_precision": [Example("network.precision", "bfloat16", "full", "network.precision=full", CEP)],
    "cep_is_plain_sgd": [
        Example("learner.momentum", "0.9", "0", "momentum=0.9", "learner.gradient=cep"),
        Example("learner.weight_decay", "0.1", "0", "weight_decay=0.1", CEP),
        Example("learner.optimizer", "adam", "sgd", "optimizer=adam", CEP),
    ],
    "cep_has_no_one_gradient": [Example("learner.gradient_clip", "1", "null", "no one gradient to clip", CEP)],
    "factors_match_layers": [
        Example("learner.lr_scale", "[1]", "[1, 1]", "one factor for each of the 2 layers"),
        Example(
            "learner.lr_scale", "[1, 1]", "[1, 1, 1]", "one factor for each of the 3 layers", "network.channels=[4]"
        ),
    ],
}
ROWS = {row.__name__: (part, key, row) for part, rows in REFUSALS.items() for key, row in rows}
CASES = [(name, example) for name, examples in EXAMPLES.items() for example in examples]
SECTIONS = {
    "module": "network",
    "feedforward": "network",
    "autograd": "learner",
    "optimization": "learner",
    "network": "network",
    "gradient": "learner",
    "learner": "learner",
}


def unchecked(overrides: list[str]) -> Config:
    """The configuration of some overrides, without asking the table."""
    values = {}
    for text in overrides:
        key, _, value = text.partition("=")
        section, _, name = key.rpartition(".")
        if not section:  # a network of configs/network/
            values |= {"network": {"model": "feedforward", "neuron": "relu"}}
            continue
        branch = values
        for part in section.split("."):
            branch = branch.setdefault(part, {})
        branch[name] = yaml.safe_load(value)
    return construct(Config, values)


def setup_of(config: Config) -> Setup:
    network = config.network
    return Setup(network, network.convolutions, config.learner, len(network.channels) + len(network.hidden) + 1)


def test_every_row_has_an_example_and_every_example_is_of_a_row():
    assert set(EXAMPLES) == set(ROWS)
    assert all(EXAMPLES.values())


def test_every_row_has_a_name_a_reason_to_be_there_and_a_key_that_exists():
    assert len(ROWS) == sum(map(len, REFUSALS.values()))
    keys = {"network": NetworkSection.names(), "learner": LearnerSpec.names()}
    for part, key, row in ROWS.values():
        assert key in keys[SECTIONS[part]]
        assert row.__doc__


@pytest.mark.parametrize(("name", "example"), CASES)
def test_each_row_refuses_its_example_and_lets_the_neighbour_pass(name, example):
    row = ROWS[name][2]
    reason = row(setup_of(unchecked(example.overrides(example.wrong))))
    assert reason is not None
    assert example.says in reason
    assert not reason.endswith(".")
    assert row(setup_of(unchecked(example.overrides(example.right)))) is None


@pytest.mark.parametrize(("name", "example"), CASES)
def test_the_configuration_refuses_it_with_the_path_of_the_key(name, example):
    """Whatever else the table says, the neighbour composes: it differs in one option and nothing is wrong with it."""
    part, key, _ = ROWS[name]
    with pytest.raises(ConfigError) as caught:
        compose({}, example.overrides(example.wrong))
    assert str(caught.value).startswith(f"{SECTIONS[part]}.{key}: ")
    assert example.says in str(caught.value)
    compose({}, example.overrides(example.right))


def made_by_hand(config: Config, part: str) -> Network | Learner:
    section, spec = config.network, config.learner
    network = Network(section.layers((1, 8, 8), 10), **section.part(NetworkSpec))
    if part == "network":
        return network
    cls = gradient_class(spec.gradient)
    gradient = cls(**{name: getattr(spec, name) for name in cls.option_names() if hasattr(spec, name)})
    return Learner(network, gradient=gradient, **{name: getattr(spec, name) for name in Optimization.names()})


TAKEN = [
    *NetworkSection.names(),
    *Optimization.names(),
    "beta",
    "phases",
    "points",
    "start",
    "rule",
    "nudge",
    "bptt_steps",
]
APART = ("module", "feedforward", "autograd")
IN_PYTHON = [
    (name, example)
    for name, example in CASES
    if ROWS[name][0] not in APART and (ROWS[name][1] in TAKEN or ROWS[name][1] == "gradient")
]
NOT_IN_PYTHON = {
    "linear_nudging_is_inside",
    "cep_has_no_one_gradient",
    "start_acts",
    "restart_acts",
    "pool_acts",
    "options_acts",
}
"""Estimates take no options of others, layers have their own pooling, and the trainer clips norms, not a learner."""


def test_all_but_what_python_cannot_say_is_tried_through_the_constructors():
    tried = {name for name, _ in IN_PYTHON} - NOT_IN_PYTHON
    assert tried | NOT_IN_PYTHON | {name for name, (part, *_) in ROWS.items() if part in APART} == set(ROWS)


@pytest.mark.parametrize(("name", "example"), [case for case in IN_PYTHON if case[0] not in NOT_IN_PYTHON])
def test_the_constructors_refuse_it_with_the_name_of_their_parameter(name, example):
    part, key, _ = ROWS[name]
    with pytest.raises(ConfigError) as caught:
        made_by_hand(unchecked(example.overrides(example.wrong)), part)
    assert str(caught.value).startswith(f"{key}: ")
    assert example.says in str(caught.value)
    made_by_hand(unchecked(example.overrides(example.right)), part)


def test_neutral_options_are_refused_by_nothing():
    for part in ("network", "gradient", "learner", "optimization"):
        refuse(part, Setup(NetworkSpec()))
    for part in ("feedforward", "autograd"):
        refuse(part, Setup(NetworkSpec(neuron="relu")))


# ---------------------------------------------------------------- what is refused in a change, and reported in a file

REPORTED = {
    "average_steps_acts": Example("network.average_steps", "2", "1", "acts only with dynamics=bernoulli"),
    "relaxation_acts": Example(
        "network.relaxation", "asynchronous", "synchronous", "two layers relax", "network.readout=linear"
    ),
    "compiled_acts": Example("network.compiled", "off", "auto", "with a hard sigmoid", "network.neuron=tanh"),
    "nudged_steps_acts": Example("network.nudged_steps", "9", "6", "not in bptt", "learner.gradient=bptt"),
    "time_step_spread_acts": Example(f"{STEPS}.spread", "0.3", "0.5", "are drawn", f"{STEPS}.distribution=scalar"),
    "time_step_min_acts": Example(f"{STEPS}.min", "0.1", "0.05", "are drawn", f"{STEPS}.distribution=scalar"),
    "time_step_max_acts": Example(f"{STEPS}.max", "0.9", "1", "are drawn", f"{STEPS}.distribution=scalar"),
    "time_step_per_acts": Example(f"{STEPS}.per", "layer", "neuron", "are drawn", f"{STEPS}.distribution=scalar"),
    "time_step_distribution_acts": Example(
        f"{STEPS}.distribution", "gamma", "scalar", "a mean between min and max", f"{STEPS}.mean=1.0"
    ),
    "kernel_acts": Example("network.kernel", "[2]", "[3]", "with convolutions"),
    "stride_acts": Example("network.stride", "[2]", "[1]", "with convolutions"),
    "padding_acts": Example("network.padding", "[1]", "[0]", "with convolutions"),
    "pooling_acts": Example("network.pooling", "average", "max", "with convolutions"),
    "beta_acts": Example("learner.beta", "0.2", "0.5", "where phases are nudged", "learner.gradient=bptt"),
    "phases_acts": Example("learner.phases", "one_sided", "centered", "are nudged", "learner.gradient=clamped"),
    "nudge_acts": Example("learner.nudge", "outside", "inside", "where phases are nudged", "learner.gradient=bptt"),
    "rule_acts": Example("learner.rule", "vector_field", "contrast", "not in bptt", "learner.gradient=bptt"),
    "bptt_steps_acts": Example("learner.bptt_steps", "3", "null", "acts only with gradient=bptt"),
    "conv_lr_scale_acts": Example("learner.conv_lr_scale", "0", "1", "with convolutions"),
}
FEEDFORWARD = {
    "network.free_steps": "9",
    "network.nudged_steps": "9",
    "network.time_step": "{mean: 0.5}",
    "network.relaxation": "asynchronous",
    "network.tolerance": "0.1",
    "network.average_steps": "2",
    "network.connection": "clep.equilibrium.connections:Dense",
    "network.precision": "bfloat16",
    "network.compiled": "off",
    "network.feedback_scale": "0.5",
    "network.kernel": "[2]",
    "network.stride": "[2]",
    "network.padding": "[1]",
    "network.pooling": "average",
    "network.pool": "[3]",
    "learner.beta": "0.2",
    "learner.phases": "one_sided",
    "learner.points": "6",
    "learner.start": "mirrored",
    "learner.rule": "vector_field",
    "learner.nudge": "outside",
    "learner.restart": "true",
    "learner.bptt_steps": "3",
    "learner.gradient_options": "{a: 1}",
    "learner.hidden_states": "true",
    "learner.conv_lr_scale": "0",
    "learner.gradient": "cost",
    "network.neuron_options": "{slope: 0.1}",
    "network.connection_options": "{rank: 2}",
}
MODULE = {key: value for key, value in FEEDFORWARD.items() if key.startswith("network.")} | {
    "network.hidden": "[9]",
    "network.channels": "[4]",
    "network.neuron": "tanh",
    "network.bias": "true",
    "network.init": "glorot",
    "network.dynamics": "energy",
    "network.readout": "linear",
    "network.feedback": "untied",
    "network.inhibition": "0.1",
    "network.residual_links": "2",
    "network.dendrites": "{basal: 4}",
}
REPORTS = [*REPORTED.items()] + [
    (
        f"{key.partition('.')[2]}_acts_in_{'autograd' if key.startswith('learner') else 'feedforward'}",
        Example(key, value, "", "acts only in an equilibrium network", "network.model=feedforward network.neuron=relu"),
    )
    for key, value in FEEDFORWARD.items()
]
REPORTS += [
    (
        f"{key.partition('.')[2]}_acts_in_module",
        Example(key, value, "", "acts only in a network of clep", "network.model=my_module:MLP network.feedback=tied"),
    )
    for key, value in MODULE.items()
]


def test_every_reported_option_has_an_example():
    assert {name for name, _ in REPORTS} == {row.name for row in IDLE if row.reported}


@pytest.mark.parametrize(("name", "example"), REPORTS)
def test_a_change_without_effect_is_refused_and_a_file_with_it_is_reported(name, example, tmp_path):
    with pytest.raises(ConfigError) as caught:
        compose({}, example.overrides(example.wrong))
    assert str(caught.value).startswith(f"{example.key}: ")
    assert example.says in str(caught.value)
    file = tmp_path / "mine.yaml"
    file.write_text(to_yaml(unchecked(example.overrides(example.wrong))))
    with pytest.warns(UnusedWarning) as seen:
        compose(file)
    assert [str(warning.message) for warning in seen] == [str(caught.value)]


@pytest.mark.filterwarnings("error::clep.errors.UnusedWarning")
@pytest.mark.parametrize(("name", "example"), REPORTED.items())
def test_the_neighbour_of_an_option_without_effect_composes(name, example):
    compose({}, example.overrides(example.right))


@pytest.mark.filterwarnings("error::clep.errors.UnusedWarning")
@pytest.mark.parametrize("network", builtin("network"))
def test_networks_by_name_set_nothing_without_effect(network):
    compose(None, [f"network={network}"])


@pytest.mark.filterwarnings("ignore::clep.errors.UnusedWarning")
@pytest.mark.parametrize("pipeline", builtin("pipeline"))
def test_other_networks_and_estimates_can_be_put_on_top_of_a_file(pipeline):
    """As its first line may promise: `BPTT twin: learner.gradient=bptt`."""
    for change in ("learner.gradient=bptt", "network.dynamics=prototypical"):
        compose(pipeline, [change])


@pytest.mark.filterwarnings("error::clep.errors.UnusedWarning")
def test_an_estimate_of_your_own_may_use_every_option():
    changes = ["beta=0.2", "phases=one_sided", "rule=vector_field", "bptt_steps=3", "restart=true", "nudge=outside"]
    compose({}, ["learner.gradient=my_module:Mine", *(f"learner.{change}" for change in changes)])


# ---------------------------------------------------------------- before anything is trained, and before torch


def in_a_new_process(code: str, folder) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_the_table_needs_no_torch(tmp_path):
    code = f"""
import sys
from clep.config import builtin, compose, to_yaml
from clep.errors import ConfigError, UnusedWarning
refused = 0
for overrides in {[example.overrides(example.wrong) for _, example in CASES if OWN not in example.others]!r}:
    try:
        compose({{}}, overrides)
    except ConfigError:
        refused += 1
print(refused, sorted({{"torch", "avalanche", "mlflow", "pytorch_lightning"}} & set(sys.modules)))
"""
    done = in_a_new_process(code, tmp_path)
    assert done.stdout.split(" ", 1) == [str(sum(OWN not in example.others for _, example in CASES)), "[]\n"], (
        done.stderr
    )


COMMANDS = {
    "run": ["run"],
    "compare": ["compare"],
    "tune": ["tune", "strategies=naive", "tune.space={learner.lr: {low: 0.001, high: 0.1, log: true}}"],
    "reproduce": ["reproduce", "forgetting_digits", "--small"],
}


def refused(command: str, folder) -> tuple[subprocess.CompletedProcess, list[str]]:
    """What a command says to an energy without symmetric feedback; (process, [exit code, heavy libraries])."""
    words = [*COMMANDS[command], "network.dynamics=energy", "network.feedback=untied"]
    code = f"""
import sys
from clep.cli import main
code = main({words!r})
print(code, *sorted({{"torch", "avalanche", "mlflow", "pytorch_lightning"}} & set(sys.modules)))
"""
    done = in_a_new_process(code, folder)
    return done, done.stdout.split()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_before_torch_is_imported(command, tmp_path):
    assert refused(command, tmp_path)[1] == ["2"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_the_key_and_leaves_nothing_behind(command, tmp_path):
    """What is refused late has cost an hour of training, or a run in MLflow that somebody must delete."""
    done, (code, *_) = refused(command, tmp_path)
    assert code == "2"
    assert done.stderr.startswith("clep: error: ")
    assert "network.dynamics: `energy` needs the symmetric feedback of an energy" in done.stderr
    assert not list(tmp_path.iterdir())
