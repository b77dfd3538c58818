"""What would do nothing in silence: plug-ins, their parameters, what they log and what they keep."""

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedMetaLearningPlugin, SupervisedPlugin
from avalanche.training.plugins import (
    BiCPlugin,
    CoPEPlugin,
    EarlyStoppingPlugin,
    GDumbPlugin,
    GenerativeReplayPlugin,
    MIRPlugin,
    ReplayPlugin,
    RWalkPlugin,
)
from clep.strategies.der import DER
from clep.strategies.er_ace import ERACE
from clep.strategies.mir import MIR
from clep.strategies.neuronal_adaptation import NeuronalAdaptation

import clep
from clep.bridge import LightningTemplate
from clep.errors import ConfigError, StrategyError, UnusedWarning
from clep.plugins import PARAMETERS
from clep.registry import build, check_arguments, find, names
from clep.strategy import memory_of

pytestmark = pytest.mark.filterwarnings("ignore:No loggers specified")

NEVER = ["before_inner_updates", "after_inner_updates", "before_outer_update", "after_outer_update"]


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=2, samples_per_experience=40, class_order="fixed", evaluation_samples=20)


def learner():
    return clep.Learner(clep.Network([64, 8, 10]), lr=0.1)


def hook(name):
    """A plug-in that overrides one hook."""
    return type("Mine", (SupervisedPlugin,), {name: lambda self, strategy, **kwargs: None})()


def test_every_hook_is_either_called_in_a_run_or_refused(stream):
    every = {name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_"))}
    called = set()
    note = {name: (lambda self, strategy, n=name, **kwargs: called.add(n)) for name in every}
    clep.Training(learner(), [type("Notes", (SupervisedPlugin,), note)()], epochs=1).run(stream)
    assert called == every
    every |= {n for n in dir(SupervisedMetaLearningPlugin) if n.startswith(("before_", "after_"))}
    assert called == every - set(NEVER)


@pytest.mark.parametrize("name", NEVER)
def test_a_hook_that_is_never_called_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=rf"strategies: Mine\.{name} is never called: it belongs to meta-learning"):
        clep.Training(learner(), [hook(name)])


@pytest.mark.parametrize(
    "plugin",
    [BiCPlugin(), CoPEPlugin(), GenerativeReplayPlugin(), EarlyStoppingPlugin(1, "test")],
    ids=lambda plugin: type(plugin).__name__,
)
def test_plugins_of_avalanche_that_cannot_work_are_refused(plugin):
    with pytest.raises(ConfigError, match=rf"strategies: {type(plugin).__name__}"):
        clep.Training(learner(), [plugin])


def test_all_registered_strategies_are_accepted():
    for name in names():
        required = {"agem": {"patterns_per_experience": 5, "sample_size": 5}, "ewc": {"ewc_lambda": 1.0}}
        required |= {"gem": {}, "mir": {"batch_size_mem": 8}, "si": {}}
        clep.Training(learner(), build([name], {name: required.get(name, {})}))


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("ewc", {"ewc_lambda": -100}, "ewc_lambda: expected a number of at least 0, got -100"),
        ("ewc", {"ewc_lambda": "abc"}, "ewc_lambda: expected a number of at least 0, got 'abc'"),
        ("gdumb", {"mem_size": 0}, "mem_size: expected an integer of at least 1, got 0"),
        ("mir", {"batch_size_mem": 0}, "batch_size_mem: expected an integer of at least 1, got 0"),
        ("replay", {"mem_size": 0}, "mem_size: expected an integer of at least 1, got 0"),
        ("agem", {"patterns_per_experience": -1, "sample_size": 3}, "patterns_per_experience: expected"),
        ("lwf", {"temperature": 0}, "temperature: expected a number above 0, got 0"),
        ("rwalk", {"delta_t": 0}, "delta_t: expected"),
        ("avalanche.training.plugins:MASPlugin", {"alpha": 2.0}, r"alpha: expected a number in \[0, 1\], got 2.0"),
    ],
)
def test_values_that_avalanche_would_take_in_silence_are_refused(name, values, says):
    with pytest.raises(ConfigError, match=f"^{says}"):
        check_arguments(find(name), values)


def test_the_table_of_parameters_names_parameters_that_exist():
    import avalanche.training.plugins as plugins

    for name, row in PARAMETERS.items():
        assert set(row) <= set(clep.registry.parameters(getattr(plugins, name)))


def test_a_parameter_without_type_and_default_is_refused():
    class Mine(clep.Strategy):
        def __init__(self, *, much):
            super().__init__()

    with pytest.raises(ConfigError, match=r"^much: Mine\.__init__ gives it neither a type nor a default"):
        check_arguments(Mine, {"much": 3})


def test_a_memory_that_never_fills_a_batch_is_refused_or_named(stream):
    with pytest.raises(ConfigError, match=r"strategy\.mir\.mem_size: 20 samples never hold more than a batch of 20"):
        clep.Training(learner(), [MIRPlugin(batch_size_mem=20, mem_size=20)])
    for plugin in (
        MIR(batch_size_mem=199),
        DER(mem_size=60, batch_size_mem=60),
        ERACE(mem_size=90, batch_size_mem=90),
    ):
        with pytest.warns(UnusedWarning, match=r"strategies: \w+ had no effect: its memory never"):
            clep.Training(learner(), [plugin], epochs=1).run(stream)


@pytest.mark.filterwarnings("error::clep.errors.UnusedWarning")
def test_a_memory_that_fills_batches_is_not_named(stream):
    for plugin in (
        MIR(batch_size_mem=2),
        DER(mem_size=20, batch_size_mem=8),
        ERACE(mem_size=20, batch_size_mem=8),
    ):
        clep.Training(learner(), [plugin], epochs=1).run(stream)


def test_what_a_strategy_keeps_is_counted_though_it_does_not_say():
    class Keeps(clep.Strategy):
        def __init__(self):
            super().__init__()
            self.means = np.zeros(5)
            self.old = {"weights": [torch.zeros(3)]}
            self.losses = [0.5, 0.25]

    assert memory_of(Keeps()).statistics_bytes == 5 * 8 + 3 * 4 + 2 * 8
    assert memory_of(clep.Strategy()).statistics_bytes == 0


@pytest.mark.parametrize("name", ["a|b", "/a", "a//b", "a/../b", "", "a" * 251, "größe"])
def test_names_that_mlflow_cannot_store_are_refused_where_they_are_logged(name):
    with pytest.raises(ConfigError, match="a name that MLflow cannot store"):
        clep.Strategy().log(name, 1.0)


def test_values_that_are_not_finite_are_named_once(recwarn):
    strategy = clep.Strategy()
    for _ in range(2):
        strategy.log("mine/a", float("nan"))
    assert [str(w.message) for w in recwarn if w.category is UnusedWarning] == [
        "strategies: Strategy logs nan as `mine/a`; such values are left out"
    ]


def divide():
    return 1 / 0


class Fails(clep.Strategy):
    def before_backward(self, strategy, **kwargs):
        if strategy.experience.current_experience == 1:
            divide()


class Leaves(clep.Strategy):
    def before_backward(self, strategy, **kwargs):
        raise SystemExit(0)


def test_a_failing_strategy_is_named_with_hook_experience_and_its_own_line(stream):
    line = divide.__code__.co_firstlineno + 1
    with pytest.raises(StrategyError) as caught:
        clep.Training(learner(), [Fails()], epochs=1).run(stream)
    assert str(caught.value) == (
        f"strategies: Fails.before_backward failed ({__file__}, line {line}) in experience 1: ZeroDivisionError: "
        "division by zero"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(StrategyError, match=r"Leaves\.before_backward failed .* SystemExit: 0"):
        clep.Training(learner(), [Leaves()], epochs=1).run(stream)


@pytest.mark.parametrize("attribute", ["model", "mb_output", "loss"])
@pytest.mark.parametrize("missing", [False, True])
def test_a_strategy_that_damages_the_loop_is_named_and_no_other(attribute, missing, stream):
    class Damages(clep.Strategy):
        def after_forward(self, strategy, **kwargs):
            delattr(strategy, attribute) if missing else setattr(strategy, attribute, "3")

    class Later(clep.Strategy):
        adds_penalty = True

        def before_backward(self, strategy, **kwargs):
            strategy.loss = strategy.loss + 0.0

    with pytest.raises(StrategyError) as caught:
        clep.Training(learner(), [Damages(), Later()], epochs=1).run(stream)
    value = None if missing else "'3'"
    assert str(caught.value).startswith(
        f"strategies: Damages.after_forward has put {value} in the place of `strategy.{attribute}` in experience 0; "
    )


def through(function):
    """A decorator that hides the name of the hook."""
    return lambda self, strategy, **kwargs: function()


class Hidden(clep.Strategy):
    before_update = through(divide)


class Wrong(clep.Strategy):
    def before_update(self):
        """Takes no template."""


class Counts(clep.Strategy):
    def memory(self):
        return divide()


class Guesses(clep.Strategy):
    def memory(self):
        return 3


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (Hidden, r"^strategies: Hidden\.before_update failed \(.*test_plugins\.py, line \d+\) in experience 0: Zero"),
        (Wrong, r"^strategies: Wrong\.before_update failed in experience 0: TypeError: .*takes 1 positional argument"),
        (Counts, r"^strategies: Counts\.memory failed \(.*test_plugins\.py, line \d+\): Zero"),
        (Guesses, r"^strategies: Guesses\.memory returned 3, expected a `clep\.strategy\.Memory`"),
    ],
)
def test_a_mistake_is_named_however_it_is_reached(cls, says, stream):
    with pytest.raises(StrategyError, match=says):
        clep.Training(learner(), [cls()], epochs=1).run(stream)


def test_two_strategies_that_log_one_name_are_refused_by_name(stream):
    class Ones(clep.Strategy):
        def after_training_exp(self, strategy, **kwargs):
            self.log("mine/value", 1.0)

    class Twos(Ones):
        pass

    expected = r"^strategies: Ones and Twos both log `mine/value`, and only one value could be kept"
    with pytest.raises(ConfigError, match=expected):
        clep.Training(learner(), [Ones(), Twos()], epochs=1).run(stream)


def test_what_is_no_number_is_left_out_and_named():
    strategy = clep.Strategy()
    for value in ("3.5", None, torch.zeros(2), 10**400):
        with pytest.warns(
            UnusedWarning, match=r"^strategies: Strategy logs .* as `mine/\d+`; such values are left out"
        ):
            strategy.log(f"mine/{id(value)}", value)
    strategy.log("mine/fine", torch.tensor(2))
    assert strategy.take_log()["mine/fine"] == 2.0


def test_a_second_run_is_refused(stream):
    strategy = ReplayPlugin(mem_size=10)
    training = clep.Training(learner(), [strategy], epochs=1)
    waiting = clep.Training(learner(), [strategy], epochs=1)
    training.run(stream)
    with pytest.raises(ConfigError, match="training: it has run already"):
        training.run(stream)
    with pytest.raises(ConfigError, match="strategies: ReplayPlugin has been trained with already"):
        waiting.run(stream)
    with pytest.raises(ConfigError, match="strategies: ReplayPlugin has been trained with already"):
        clep.Training(learner(), [strategy])
    clep.Training(training.template.learner, [ReplayPlugin(mem_size=10)], epochs=1).run(stream)


@pytest.mark.parametrize("fails", [True, False])
def test_adaptation_leaves_the_network_as_it_was(stream, fails):
    trained = learner()
    network, gradient = trained.network, trained.gradient
    training = clep.Training(trained, [NeuronalAdaptation(), *([Fails()] if fails else [])], epochs=1)
    if fails:
        with pytest.raises(StrategyError):
            training.run(stream)
    else:
        training.run(stream)
    assert trained.network is network
    assert training.template.model is network
    assert network.gradient is gradient


def test_a_network_made_anew_stays_the_learners(stream):
    template = LightningTemplate(learner=learner(), plugins=[GDumbPlugin(mem_size=10)])
    first = template.learner.network
    template.train(stream.benchmark.train_stream[0], eval_streams=[])
    assert template.learner.network is first  # GDumb starts from scratch only from the second experience on
    template.train(stream.benchmark.train_stream[1], eval_streams=[])
    assert template.learner.network is template.model
    assert template.learner.network is not first


def test_scores_that_were_never_taken_are_named_before_they_make_the_loss_nan(stream):
    """Each experience has 2 updates: with `delta_t=4`, the first one ends without a score."""
    for steps in (2, 4):
        training = clep.Training(learner(), [RWalkPlugin(delta_t=steps)], epochs=1, batch_size=20)
        if steps == 2:
            assert np.isfinite(training.run(stream).matrix).all()
        else:
            with pytest.raises(
                StrategyError, match=r"^strategy\.rwalk\.delta_t: no weight has a score.*every 4 updates"
            ):
                training.run(stream)
