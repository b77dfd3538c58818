"""Metrics that a configuration names: tried before training, computed from what a run's result holds."""

from functools import partial

import numpy as np
import pytest

from clep import computed, metrics, parts
from clep.config import compose
from clep.errors import ConfigError, UnusedWarning
from tests.oracles.packages import install

R = [[1.0, 0.0, 0.0], [0.25, 0.5, 0.0], [0.5, 0.25, 0.75]]
BEFORE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 1.0]]
RUN = {
    "run_id": "abc",
    "accuracy_matrix": R,
    "accuracy_before_consolidation": BEFORE,
    "accuracy_untrained": [0.125, 0.125, 0.125],
    "sizes": [10, 30, 10],
    "updates": 7,
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    return partial(install, tmp_path, monkeypatch)


def refusal(name, **options):
    with pytest.raises(ConfigError) as caught:
        computed.check([name], {name: options})
    return str(caught.value)


def test_every_metric_of_clep_is_its_function_of_the_matrices():
    learned, sizes = np.diagonal(BEFORE), RUN["sizes"]
    expected = {
        "average_accuracy": metrics.average_accuracy(R),
        "seen_accuracy": metrics.seen_accuracy(R, sizes),
        "learned_accuracy": metrics.learned_accuracy(R),
        "learned_in_training": metrics.learned_in_training(learned, sizes=sizes),
        "forgetting": metrics.forgetting(R),
        "forgetting_since_training": metrics.forgetting_since_training(R, learned),
        "max_forgetting": metrics.max_forgetting(R),
        "backward_transfer": metrics.backward_transfer(R),
        "forward_transfer": metrics.forward_transfer(R, RUN["accuracy_untrained"]),
    }
    assert set(parts.names("metric")) == set(expected)
    computed.check(list(expected), {})
    assert {name: computed.of_run(name, {})(RUN) for name in expected} == expected


def test_a_metric_of_ones_own_takes_by_name_what_it_needs_and_its_own_parameters(package):
    source = "def kept(R, learned, run, *, floor: float = 0.0):\n"
    source += "    return max(floor, (R[-1] / learned).min()) + run.get('updates', 0)\n"
    module = package("mine", source, metrics={"kept": "kept"})
    for name in ("kept", f"{module}:kept"):
        computed.check([name], {name: {"floor": 0.5}})
        assert computed.label(name) == "kept"
        assert computed.of_run(name, {})(RUN) == 7.25
        assert computed.of_run(name, {name: {"floor": 0.5}})(RUN) == 7.5
    assert (
        refusal("kept", florr=1.0) == "metric.kept.florr: unknown key `florr`; did you mean `floor`? Valid keys: floor"
    )
    assert refusal("kept", floor="low") == "metric.kept.floor: expected a number, got 'low'"


def test_what_is_undefined_is_none(package):
    module = package("mine", "def a(R):\n    return float('nan')\n\ndef b(R):\n    return None\n")
    assert computed.of_run(f"{module}:a", {})(RUN) is None
    assert computed.of_run(f"{module}:b", {})(RUN) is None
    assert computed.of_run("forgetting", {})({"accuracy_matrix": [], "sizes": []}) is None


def test_a_metric_that_fails_is_refused_before_training_with_its_own_line(package):
    module = package("mine", "def kept(R):\n    return R.nothing\n")
    message = refusal(f"{module}:kept")
    assert message.startswith(f"metrics: `{module}:kept` fails on a run of three experiences: AttributeError: ")
    assert message.endswith("mine_module.py, line 2)")


def test_a_metric_that_fails_only_on_some_run_costs_nothing_but_its_number(package):
    module = package("mine", "def kept(R):\n    return [1.0, 2.0][len(R) - 3 and 7]\n")
    computed.check([f"{module}:kept"], {})
    with pytest.warns(UnusedWarning, match=r"of run abc is left out: IndexError"):
        assert computed.of_run(f"{module}:kept", {})(RUN | {"accuracy_matrix": [[1.0]]}) is None


def test_names_are_refused_that_every_run_has_or_that_two_metrics_share(package):
    module = package("mine", "def accuracy(R):\n    return 1.0\n\ndef forgetting(R):\n    return 1.0\n")
    assert refusal(f"{module}:accuracy").startswith("metrics: every run has a number `accuracy` already")
    with pytest.raises(ConfigError, match=r"^metrics: expected each entry once, got `forgetting` 2 times"):
        computed.check(["forgetting", f"{module}:forgetting"], {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("metrics=[max_forgeting]", "metrics: unknown metric `max_forgeting`; did you mean `max_forgetting`?"),
        ("columns=[wrost]", "columns: unknown column `wrost`; did you mean `worst`?"),
        ("metric.max_forgetting.i=1", "metric: unknown metric `max_forgetting`"),
        ("metric=3", "metric: expected parameters by the name of a metric"),
        ("columns=[worst,worst]", "columns: expected each entry once"),
    ],
)
def test_a_configuration_is_checked_without_an_import(change, message):
    with pytest.raises(ConfigError) as caught:
        compose(None, [change])
    assert str(caught.value).startswith(message)


def test_parameters_of_a_metric_by_import_path_are_set_by_key():
    config = compose(None, ["metrics=[my.module:kept]", "metric.my.module:kept.floor=0.5"])
    assert config.metric == {"my.module:kept": {"floor": 0.5}}
