"""Names of metrics: each once, with a meaning, and those of the pipeline are reserved."""

import subprocess
import sys

import pytest

from clep import metric_names
from clep.errors import ConfigError
from clep.metric_names import METRICS, metric, refuse_reserved


def test_a_constant_starts_with_the_group_of_its_metric():
    """So that either can be guessed from the other."""
    constants = {name: value for name, value in vars(metric_names).items() if name.isupper() and str(value) in METRICS}
    assert len(constants) > 40
    for constant, name in constants.items():
        assert constant.startswith(name.partition("/")[0].upper()), (constant, name)


def test_every_metric_has_a_meaning_in_one_line_and_says_what_its_steps_count():
    for registered in METRICS.values():
        assert registered.meaning
        assert "\n" not in registered.meaning
        assert not registered.meaning.endswith(".")
        assert registered.step


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match=r"`accuracy/seen` is registered twice"):
        metric("accuracy/seen", "something else")


@pytest.mark.parametrize(
    "name",
    ["accuracy/seen", "accuracy/experience_03", "train/feedback_angle_layer_2", "hidden/magnitude_layer_1"],
)
def test_a_strategy_cannot_log_under_a_name_of_the_pipeline(name):
    with pytest.raises(
        ConfigError, match=rf"strategies: MyEWC logs `{name}`, a name of the pipeline \(.+\); log it as"
    ):
        refuse_reserved(name, "MyEWC")


@pytest.mark.parametrize("name", ["accuracy/seen_twice", "experience_03", "sleep/firing_rate_layer_1", "my/own"])
def test_other_names_are_free(name):
    refuse_reserved(name, "MyEWC")


@pytest.mark.parametrize("name", sorted(name for name, row in METRICS.items() if row.by == metric_names.PIPELINE))
def test_the_name_that_a_refusal_proposes_is_free(name):
    fields = {"layer": 1, "experience": 1, "measure": "magnitude", "when": "before", "cell": "a", "number": "b"}
    taken = name.format(**fields)
    with pytest.raises(ConfigError) as refused:
        refuse_reserved(taken, "MyStrategy")
    proposed = str(refused.value).rpartition("log it as ")[2].strip("`")
    refuse_reserved(proposed, "MyStrategy")


def test_fields_are_shown_by_name():
    assert METRICS[metric_names.ACCURACY_EXPERIENCE].shown == "accuracy/experience_<experience>"
    assert metric_names.ACCURACY_EXPERIENCE.format(experience=3) == "accuracy/experience_03"


def test_names_cost_no_heavy_import():
    code = "import sys, clep.metric_names; print([m for m in ('torch', 'avalanche', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
