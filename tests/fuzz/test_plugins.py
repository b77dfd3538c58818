"""Any mistake in any hook of a strategy or plug-in: the run finishes, or an error names the class."""

import sys

import pytest
import torch
from avalanche.core import SupervisedPlugin
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import clep
from clep.errors import ClepError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

HOOKS = sorted(name for name in dir(SupervisedPlugin) if name.startswith(("before_training", "after_training")))
HOOKS += ["before_forward", "after_forward", "before_backward", "after_backward", "before_update", "after_update"]
BASES = st.sampled_from([clep.Strategy, SupervisedPlugin])
ODD = st.sampled_from(
    [None, True, 0, -1, 3.5, float("nan"), float("inf"), "text", b"bytes", [], {}, [1, "a"], object(), torch.zeros(2)]
)
ERRORS = st.sampled_from(
    [
        *(ValueError(""), KeyError(3), AssertionError(), StopIteration(), SystemExit(0), RuntimeError("a\nb" * 50)),
        *(MemoryError(), RecursionError("deep"), OSError(28, "No space left"), UnicodeError("é")),
    ]
)
NAMES = st.sampled_from(["mine/a", "accuracy/seen", "train/loss", "", "a|b", "a" * 300, "é", 3, None])


def outcome(call, begins=""):
    """What a call returns, or None for an error of clep's own; any other error fails the test."""
    try:
        return call()
    except ClepError as error:
        message = str(error)
    assert message.startswith(begins)
    assert len(message) < 2000
    return None


def raises(error):
    def act(self, strategy, **kwargs):
        raise error

    return act


def logs(name, value):
    def act(self, strategy, **kwargs):
        self.log(name, value)

    return act


def spoils(value):
    def act(self, strategy, **kwargs):
        with torch.no_grad():
            for parameter in strategy.model.parameters():
                parameter.data.fill_(value)

    return act


ACTIONS = st.one_of(
    ERRORS.map(raises),
    st.builds(logs, NAMES, ODD),
    st.sampled_from([float("nan"), float("inf"), 0.0]).map(spoils),
    st.sampled_from([lambda self: None, lambda self, strategy: None, lambda: None, 3, "text"]),
)
ANSWERS = st.one_of(
    ODD.map(lambda value: lambda self, *args, **kwargs: value),
    ERRORS.map(lambda error: lambda *args, **kw: sys.exit(3)),
)
TRAITS = st.dictionaries(
    st.sampled_from(["stands_alone", "trains_jointly", "consolidates", "sleeps", "adds_penalty", "uses_gradients"]),
    st.booleans(),
    max_size=1,
)


STREAM = clep.stream("digits", experiences=2, samples_per_experience=20, evaluation_samples=20)
FUZZ = settings(deadline=None, phases=[Phase.generate])  # to shrink a failure would train hundreds of times


@settings(FUZZ, max_examples=200)
@given(
    BASES,
    st.dictionaries(st.sampled_from(HOOKS), ACTIONS, max_size=2),
    st.dictionaries(st.sampled_from(["memory", "refuses", "idle"]), ANSWERS, max_size=1),
    TRAITS,
    ODD,
)
def test_any_mistake_in_a_strategy(base, hooks, answers, traits, kept):
    cls = type("Mine", (base,), {**hooks, **(answers if base is clep.Strategy else {}), **traits})
    mine = cls()
    mine.kept = kept
    learner = clep.Learner(clep.Network([64, 6, 10]), lr=0.1)
    outcome(lambda: clep.Training(learner, [mine], epochs=1, batch_size=10).run(STREAM))


@settings(FUZZ, max_examples=100)
@given(st.text(max_size=12), ODD)
def test_any_name_and_value_that_is_logged(name, value):
    strategy = clep.Strategy()
    outcome(lambda: strategy.log(name, value), "strategies: Strategy logs ")
    assert all(isinstance(number, float) for number in strategy.take_log().values())
