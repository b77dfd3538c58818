"""Search spaces: declared by the strategies, extended by the configuration, turned into changes of it."""

import optuna
import pytest

from clep import registry, search
from clep.build import resolved
from clep.config import compose
from clep.errors import ConfigError, UnusedWarning


def space(*overrides):
    return search.space_of(resolved(compose({}, overrides)))


def test_strategies_declare_their_spaces_and_the_configuration_adds_and_removes():
    declared = space("strategies=[ewc,si]")
    assert declared["strategy.ewc.ewc_lambda"] == {"low": 0.1, "high": 10000.0, "log": True}
    assert "strategy.si.si_lambda" in declared
    changed = space(
        "strategies=[ewc,si]", "tune.space={learner.epochs: {low: 1, high: 5}, strategy.si.si_lambda: null}"
    )
    assert set(changed) == {"strategy.ewc.ewc_lambda", "learner.epochs"}


@pytest.mark.parametrize("name", sorted(set(registry.names()) - {"naive", "joint"}))
def test_every_declared_parameter_is_one_of_the_strategy_and_its_ends_are_valid(name):
    """A misspelt parameter, or an end that the strategy refuses, would fail every trial that draws it."""
    base = resolved(compose({}, [f"strategies={name}"]))
    found = search.declared(name)
    for end in ("low", "high"):
        values = {f"strategy.{name}.{key}": value[end] for key, value in found.items() if end in value}
        parameters = base.strategy[name] | search.changes(values, base).get("strategy", {}).get(name, {})
        registry.build([name], {name: parameters}, seed=0)


def test_a_suggestion_lies_in_its_range_and_has_its_type():
    ranges = {
        "learner.epochs": {"low": 1, "high": 9},
        "learner.lr": {"low": 0.001, "high": 0.1, "log": True},
        "network.neuron": {"choices": ["tanh", "hard_sigmoid"]},
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [search.suggest(study.ask(), ranges) for _ in range(40)]
    assert all(isinstance(d["learner.epochs"], int) and 1 <= d["learner.epochs"] <= 9 for d in drawn)
    assert {d["network.neuron"] for d in drawn} == {"tanh", "hard_sigmoid"}
    rates = sorted(d["learner.lr"] for d in drawn)
    assert rates[0] >= 0.001
    assert rates[-1] <= 0.1
    assert 0.003 < rates[20] < 0.03  # the middle of a logarithmic range; of a linear one 0.05


def test_values_become_nested_changes_and_entries_of_lists_leave_the_others_alone():
    base = resolved(compose({}, ["strategies=sleep_replay", "strategy.sleep_replay.threshold=[0.1,0.7]"]))
    values = {"learner.lr": 0.5, "strategy.sleep_replay.threshold[1]": 0.9}
    assert search.changes(values, base) == {
        "learner": {"lr": 0.5},
        "strategy": {"sleep_replay": {"threshold": [0.1, 0.9]}},
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("strategies=naive", "nothing to search"),
        ("tune.space={learner.lr: 3}", r"learner\.lr: expected \{low"),
        ("tune.space={learner.lr: {low: 3}}", "expected {low: ..., high: ...}"),
        ("tune.space={learner.lr: {low: 3, high: 1}}", "low < high"),
        ("tune.space={learner.lr: {low: a, high: 1}}", "with numbers"),
        ("tune.space={learner.lr: {low: 0, high: 1, log: true}}", "learner.lr.low: expected a number above 0, as"),
        ("tune.space={learner.lr: {low: 0, hihg: 1}}", "unknown key `hihg`; did you mean `high`"),
        ("tune.space={learner.lr: {choices: []}}", "at least one choice"),
        ("tune.space={strategy.nope.x: {low: 0, high: 1}}", "unknown strategy of this search `nope`"),
        ("tune.space={strategy.ewc.ewc_lambda: {low: 0, high: 1}}", "unknown strategy of this search `ewc`"),
        ("tune.space={workers: {low: 1, high: 3}}", "workers: changes nothing in a trial"),
        ("tune.space={seed: {low: 1, high: 3}}", "seed: changes nothing in a trial"),
    ],
)
def test_a_range_that_is_none_is_refused_with_its_key(override, message):
    with pytest.raises(ConfigError, match=r"^tune\.space.*" + message.replace("{low: ..., high: ...}", r"\{low")):
        space(override)


def test_an_entry_of_what_is_no_list_is_refused():
    base = resolved(compose({}, []))
    with pytest.raises(ConfigError, match=r"tune\.space\.learner\.lr\[0\]: names an entry of a list that"):
        search.changes({"learner.lr[0]": 1.0}, base)


def test_the_ends_of_every_range_and_every_choice_are_tried_before_a_search():
    base = resolved(compose({}, []))
    ranges = {"learner.lr": {"low": 0.1, "high": 0.2}, "network.neuron": {"choices": ["tanh", "hard_sigmoid"]}}
    found = list(search.check_ends(ranges, base))
    assert [c.learner.lr for c in found] == [0.1, 0.2, base.learner.lr, base.learner.lr]
    assert [c.network.neuron for c in found[2:]] == ["tanh", "hard_sigmoid"]
    with pytest.raises(ConfigError, match=r"learner\.lr: expected a number.*got -1"):
        list(search.check_ends({"learner.lr": {"low": -1, "high": 1}}, base))


def test_an_option_that_does_not_act_is_named_before_a_search():
    base = resolved(compose({}, ["network=feedforward"]))
    with pytest.warns(UnusedWarning, match=r"^tune\.space\.learner\.beta: 3\.0 changes nothing"):
        list(search.check_ends({"learner.beta": {"low": 1.0, "high": 3.0}}, base))
