"""The plug-in API: hooks, draws, logs and refusals."""

from types import SimpleNamespace

import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training import Naive
from torch import nn

from clep import Learner, Network, Training, strategy
from clep.build import build_stream, build_training
from clep.config import compose
from clep.errors import ConfigError
from clep.strategy import Strategy, refusals

pytestmark = [
    pytest.mark.filterwarnings("ignore:No loggers specified"),
    pytest.mark.filterwarnings("ignore:Call to deprecated function"),
]


class Plain(SupervisedPlugin):
    """An Avalanche plugin that overrides no hook of the training iteration."""

    def before_training_epoch(self, strategy, **kwargs):
        """Nothing."""


# hooks


def test_a_misspelt_hook_is_refused_where_the_class_is_defined():
    """Avalanche would never call it, and the strategy would be naive training under another name."""
    with pytest.raises(TypeError, match=r"Mine\.before_trainning_exp: .* did you mean `before_training_exp`\?"):
        type("Mine", (Strategy,), {"before_trainning_exp": lambda self, strategy, **kwargs: None})
    with pytest.raises(TypeError, match=r"Mine\.after_batch: unknown hook `after_batch`"):
        type("Mine", (Strategy,), {"after_batch": lambda self, strategy, **kwargs: None})


def test_every_hook_of_avalanche_and_helpers_of_ones_own_are_accepted():
    hooks = [name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_"))]
    assert len(hooks) >= 20
    type("Mine", (Strategy,), dict.fromkeys([*hooks, "helper", "_before_sleep"], lambda self, strategy, **kwargs: None))


# randomness


def test_draws_are_different_indices_in_random_order_that_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    drawn = Strategy().draw(50, 50)
    assert sorted(drawn) == list(range(50)) != drawn
    assert len(set(Strategy().draw(50, 7))) == 7
    assert torch.equal(torch.get_rng_state(), state)


def test_own_draws_come_from_the_strategys_generator_and_go_on_where_they_stopped():
    """Avalanche's storage policies draw from torch's global generator, which others draw from as well."""
    mine, expected = Strategy(), torch.Generator().manual_seed(0)
    state = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with mine.own_draws():
            drawn.append(torch.rand(5))
    assert torch.equal(torch.stack(drawn), torch.stack([torch.rand(5, generator=expected) for _ in range(2)]))
    with pytest.raises(RuntimeError), mine.own_draws():
        torch.rand(-1)
    assert torch.equal(torch.get_rng_state(), state)


# logs


def test_a_log_is_taken_once():
    mine = Strategy()
    mine.log("a/b", torch.tensor(2.5))
    mine.log("c", 1)
    assert mine.take_log() == {"a/b": 2.5, "c": 1.0}
    assert mine.take_log() == {}


# refusals


class Picky(Strategy):
    """Says what it was asked, and refuses batches of more than ten."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def refuses(self, learner, **kwargs):
        self.asked.append((learner, kwargs))
        if kwargs["batch_size"] > 10:
            yield "strategy.picky.first: too large; use less"
            yield "strategy.picky.second: far too large; use less"


def test_every_strategy_of_a_set_says_what_it_cannot_do_with_a_learner():
    first, second, learner = Picky(), Picky(), SimpleNamespace(network=None)
    plugins = [first, Plain(), Strategy(), second]
    assert [message.split(":")[0] for message in refusals(plugins, learner, 11)] == [
        "strategy.picky.first",
        "strategy.picky.second",
    ] * 2
    assert list(refusals(plugins, learner, 10)) == []
    assert second.asked == [(learner, {"plugins": plugins, "batch_size": size}) for size in (11, 10)]


def test_plain_avalanche_asks_before_anything_is_trained():
    picky, model = Picky(), nn.Linear(3, 2)
    template = Naive(
        model=model, optimizer=torch.optim.SGD(model.parameters()), train_mb_size=11, plugins=[picky], evaluator=None
    )
    with pytest.raises(ConfigError, match=r"^strategy\.picky\.first: too large; use less$"):
        template.train([])
    ((learner, asked),) = picky.asked
    assert learner.network is model
    assert asked["batch_size"] == 11
    assert picky in asked["plugins"]


def test_a_configuration_is_refused_before_a_stream_is_trained():
    config = compose(
        {
            "strategies": ["sleep_replay"],
            "strategy": {"sleep_replay": {"calibration": "published", "threshold": [0.1, 0.2, 0.3]}},
        }
    )
    with pytest.raises(ConfigError, match=r"^strategy\.sleep_replay\.threshold: expected 1 or 2 values for 2 layers"):
        build_training(config, build_stream(config))


# ranges and choices


def test_ranges_and_choices_are_refused_in_words():
    assert strategy.in_range("x", 2.0, 2.0, 2.0) == 2.0
    with pytest.raises(ConfigError, match=r"^x: expected a number in \[0, 1\], got 1\.1$"):
        strategy.in_range("x", 1.1, 0.0, 1.0)
    with pytest.raises(ConfigError, match=r"^x: expected a number of at least 0, got -1$"):
        strategy.in_range("x", -1, 0.0)
    with pytest.raises(ConfigError, match=r"^x: expected a number above 0, got 0$"):
        strategy.in_range("x", 0, above=0.0)
    with pytest.raises(ConfigError, match=r"^x: expected .* got nan$"):
        strategy.in_range("x", float("nan"), 0.0)
    assert strategy.one_of("side", "left", ["left", "right"]) == "left"
    with pytest.raises(
        ConfigError, match=r"^side: unknown value `lefft`; did you mean `left`\? Valid values: left, right$"
    ):
        strategy.one_of("side", "lefft", ["left", "right"])


# attributes


@pytest.mark.filterwarnings("error:.*incompatible callbacks")
def test_an_attribute_may_be_called_before_or_after():
    """Avalanche takes them for hooks that it does not know; a misspelt hook of a strategy is refused anyway."""

    class Mine(Strategy):
        def __init__(self):
            super().__init__()
            self.before, self.after_all = [], 0

    Training(Learner(Network([64, 8, 10])), [Mine()])
    with pytest.raises(UserWarning, match="incompatible callbacks"):
        Training(Learner(Network([64, 8, 10])), [type("Misspelt", (SupervisedPlugin,), {"before_all": None})()])
