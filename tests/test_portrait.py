"""`clep show strategy`: what a strategy takes, does and works with; and `clep show` refuses what a run refuses."""

import json

import pytest

import clep
from clep import registry
from clep.cli import main
from clep.errors import ConfigError
from clep.portrait import portrait


@pytest.fixture(scope="module")
def ewc():
    return portrait("ewc")


def test_it_says_what_the_signature_and_the_docstring_say(ewc):
    (strength,) = [parameter for parameter in ewc.parameters if parameter.name == "ewc_lambda"]
    assert (strength.type, strength.required, strength.default) == ("a number of at least 0", False, 1.0)
    assert strength.meaning.startswith("hyperparameter to weigh the penalty inside the total loss.")
    assert strength.search == {"ewc_lambda": {"low": 0.1, "high": 10000.0, "log": True}}
    assert [parameter.name for parameter in ewc.parameters] == list(registry.parameters(registry.find("ewc")))


def test_it_names_the_hooks_of_the_class_alone(ewc):
    assert ewc.hooks == ["after_training_exp", "before_backward"]


def test_what_it_works_with_is_what_a_training_refuses(ewc):
    for gradient, reason in {"cost": ewc.gradients["cost"], "linear": ewc.gradients["linear"]}.items():
        if reason is None:
            clep.compose(None, ["strategies=[ewc]", f"learner.gradient={gradient}"])
        else:
            with pytest.raises(ConfigError) as refused:
                clep.compose(None, ["strategies=[ewc]", f"learner.gradient={gradient}"])
            assert str(refused.value) == reason
    assert ewc.gradients["linear"] is None
    assert ewc.networks["chl"].startswith("learner.gradient: Clamping cannot be used with EWCPlugin")
    assert ewc.networks["ep"] is None


def test_it_fits_into_the_terminal_that_everyone_has(ewc):
    lines = ewc.to_text().splitlines()
    assert max(len(line) for line in lines if "/" not in line) <= 79
    assert "package: clep-lab 0.1.0" in lines
    assert "example: clep run strategies=ewc strategy.ewc.ewc_lambda=1.0" in lines


def test_a_parameter_that_must_be_given_is_called_required():
    shown = portrait("avalanche.training.plugins:EWCPlugin")
    assert [parameter.name for parameter in shown.parameters if parameter.required] == ["ewc_lambda"]
    assert shown.example.endswith(".ewc_lambda=VALUE")
    assert shown.package.startswith("avalanche-lib ")
    assert "a value is required" in shown.gradients["linear"]


def test_the_command_prints_it_as_json(capsys):
    assert main(["show", "strategy", "naive", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["path"] == "clep.strategies.naive:Naive"
    assert shown["declares"] == ["stands_alone"]
    assert shown["reference"] == ""


def test_an_unknown_strategy_is_named_with_the_nearest(capsys):
    assert main(["show", "strategy", "sleep_repaly"]) == 2
    assert "did you mean `sleep_replay`?" in capsys.readouterr().err


REFUSED = {
    "strategies=[gem] learner.gradient=cost": "learner.gradient: CostNudging cannot be used with GEM",
    "strategies=[naive,ewc]": "strategies: `naive` stands alone, got naive+ewc",
    "strategies=[sleep_replay] strategy.sleep_replay.steps=30": "strategy.sleep_replay.steps: it has no effect with",
    "strategies=[der] strategy.der.mem_size=3": "strategy.der.mem_size: 3 samples never fill a batch",
    "strategies=[ewc] strategy.ewc.ewc_lambda=-1": "strategy.ewc.ewc_lambda: expected a number of at least 0",
    "network.channels=[4] network.kernel=20": "network",
    "network.hidden=[1000000000000]": "network.hidden: the weights of layers of",
}


@pytest.mark.parametrize("changes", REFUSED)
def test_show_compose_and_run_refuse_the_same_with_the_same_words(changes, capsys):
    overrides = changes.split()
    assert main(["show", *overrides]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1].removeprefix("clep: error: ")
    assert said.startswith(REFUSED[changes])
    for call in (clep.compose, clep.run):
        with pytest.raises(ConfigError) as refused:
            call(None, overrides)
        assert " ".join(str(refused.value).split()) == said


def test_data_that_are_not_there_are_neither_fetched_nor_needed():
    composed = clep.compose(None, ["stream=mnist", "strategies=[ewc]"])
    assert composed.strategy["ewc"]["mode"] == "separate"
    with pytest.raises(ConfigError, match="stands alone"):
        clep.compose(None, ["stream=mnist", "strategies=[joint,ewc]"])


def test_it_says_who_answers_and_whether_a_network_is_trained():
    assert portrait("class_means").declares == ["reads_out", "trains_nothing"]
    on_states = portrait("class_means", ["strategy.class_means.features=states"])
    assert on_states.declares == ["reads_out"]
    assert "does: answers by a read-out of its own" in on_states.to_text()
