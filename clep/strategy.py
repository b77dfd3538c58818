"""The plug-in API: what a strategy is, and what clep asks of it.

A strategy is an Avalanche plugin. In a hook, `self` is the strategy and the argument `strategy` is the training
template (Avalanche's name, kept): `strategy.mb_x`, `mb_y`, `mb_output`, `loss`, `model`, `optimizer`, `dataloader`,
`experience`. Strategies are found and built by name in `clep.registry`.
"""

import math
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from avalanche.core import BasePlugin, SupervisedPlugin
from torch import Tensor, nn

from clep import parts
from clep.appending import HOOKS, OPEN, open_hooks
from clep.capabilities import capabilities
from clep.checks import in_range, one_of, shown, unknown
from clep.errors import ClepError, ConfigError, StrategyError, UnusedWarning
from clep.memory import Memory, memory_in, memory_of_buffer
from clep.metric_names import refuse_reserved
from clep.renames import renamed
from clep.seeding import MadeWith, next_seed, noting

__all__ = [
    "Memory",
    "Strategy",
    "capabilities",
    "in_range",
    "memory_of",
    "memory_of_buffer",
    "one_of",
    "refusals",
]

_HOOKS = {name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_"))}


class Strategy(SupervisedPlugin, MadeWith):
    """Base of clep's strategies; override Avalanche's hooks (`before_training_exp`, `before_backward`, ...).

    The typed, keyword-only `__init__` is the parameter schema: `strategy.<name>.<parameter>` of a configuration is
    checked against it. A strategy also works inside a plain Avalanche strategy such as `Naive`.

    Attributes:
        stands_alone: whether other strategies cannot be combined with this one.
        trains_jointly: whether it learns all experiences at once instead of one after another.
        consolidates: whether it changes the weights after an experience; accuracy is then measured before and after.
        sleeps: whether it consolidates by sleep; these accuracies are then also recorded as `sleep/...`.
        trains: whether the network is to be trained at all; False for a strategy whose read-out needs none.
        adds_penalty: whether it adds to the loss a term that depends on weights alone.
        uses_gradients: whether it reads or changes the gradients of the weights.
        differentiates_outputs: whether it differentiates outputs of the network: adds a term that depends on them to
            the loss, changes `mb_output`, or calls the model with gradients on. A strategy that sets none of these
            three is taken to do all of them if it has a hook of the training iteration; one that sets any of them does
            what it sets, and clep watches it. They decide which gradient estimates it works with.
        replicates: whether, where several processes share every batch (`trainer.devices`), it does the same in each, so
            that what it stores is the same in all. Hooks see the whole batch until the forward, and a part of it from
            there on; see `clep.sharing`. None, where nothing is said: if it has no hook of the training iteration. Of
            one that `sleeps`, the first process calls `after_training_exp`, and the others get its weights.
        draws_globally: whether it draws from torch's global generator, as Avalanche's own plug-ins do; other strategies
            that do the same then draw other numbers beside it.
        search_space: parameter -> range that `clep tune` searches; see `clep.search`.
        generator: this strategy's own source of randomness.
        state: a place for whatever this strategy remembers: numbers, texts, tensors, samples
            (`clep.streams.Samples`), modules like the network, and containers of these, by name. A checkpoint keeps it,
            and `memory` counts it.
        is_seeded: whether it has a seed of its own; `clep.Training` seeds the strategies that have none. If such a one
            has drawn in its constructor, this runs once more, with the seed.

    Raises:
        TypeError: when a class is defined with a hook that Avalanche would never call.

    Example:
        >>> from clep.strategy import in_range
        >>> class Count(Strategy):
        ...     def __init__(self, *, step: int = 1):
        ...         super().__init__()
        ...         self.step = int(in_range("step", step, 1))
        ...
        ...     def after_training_exp(self, strategy, **kwargs):
        ...         self.log("count/samples", self.step * len(strategy.experience.dataset))
        >>> Count(step=2).step
        2
    """

    stands_alone: ClassVar[bool] = False
    trains_jointly: ClassVar[bool] = False
    consolidates: ClassVar[bool] = False
    sleeps: ClassVar[bool] = False
    trains: bool = True
    adds_penalty: ClassVar[bool | None] = None
    uses_gradients: ClassVar[bool | None] = None
    differentiates_outputs: ClassVar[bool | None] = None
    replicates: ClassVar[bool | None] = None
    draws_globally: ClassVar[bool] = False
    search_space: ClassVar[Mapping[str, Mapping[str, Any]] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if name.startswith(("before_", "after_")) and name not in _HOOKS:
                raise TypeError(f"{cls.__name__}.{name}: {unknown(name, _HOOKS, 'hook')}")
        if "read_out" in vars(cls) and "after_eval_forward" not in vars(cls):
            cls.after_eval_forward = scored_by_read_out
        open_hooks(cls)
        noting(cls)

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator()
        seed, is_seeded = next_seed()
        self.seed_with(seed)
        self.is_seeded = is_seeded
        self.state: dict[str, Any] = {}
        self._logged: dict[str, float] = {}
        self._not_finite: set[str] = set()

    @classmethod
    def searched(cls, options: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]] | None:
        """What `clep tune` searches of this strategy: `search_space`, unless that depends on other options.

        Args:
            options: the values that are set in the configuration.
        """
        return cls.search_space

    def refuses(self, learner: Any, **kwargs: Any) -> Iterable[str]:
        """Say why this strategy cannot work with a learner, one message per reason; none if it can.

        clep asks before anything is trained. A message begins with the key to change, gives the reason and says what to
        set instead: `learner.gradient: lookahead needs ...; use learner.gradient=linear`.

        Args:
            learner: the learner to train; `learner.network` is the model. Inside a plain Avalanche strategy it has no
                other attribute.
            **kwargs: `plugins`, all plugins in the order of their hooks; `batch_size`, new samples per training batch.
        """
        return ()

    def before_training(self, strategy: Any, **kwargs: Any) -> None:
        """Refuse what cannot be trained, if this was not checked when training was set up.

        Raises:
            ConfigError: with the first message of `refuses`.
        """
        learner = getattr(strategy, "learner", None) or SimpleNamespace(network=strategy.model)
        for message in self.refuses(learner, plugins=strategy.plugins, batch_size=strategy.train_mb_size):
            raise ConfigError(message)

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Skip the epoch if the network is not to be trained; clep itself does not even begin one."""
        if not self.trains:
            strategy.stop_training()

    def read_out(self, network: nn.Module, x: Tensor) -> Tensor:
        """Score the classes for a batch: what accuracies are measured by. By default, the output of the network.

        A strategy that overrides it installs a read-out of its own, and at most one of a set may. It is called in
        evaluations alone, without gradients. A plain Avalanche strategy uses it too: its `mb_output` is then what this
        returns.

        Args:
            network: the model, in evaluation mode. It need not be called.
            x: inputs, (B, ...).

        Returns:
            Scores, (B, K): the largest in a row is the answer; -inf for a class that it does not know.

        Example:
            >>> import torch
            >>> Strategy().read_out(torch.nn.Linear(4, 3), torch.rand(2, 4)).shape
            torch.Size([2, 3])
        """
        scores: Tensor = network(x)
        return scores

    def seed_with(self, seed: int) -> None:
        """Restart this strategy's generator with `seed`; each strategy of a run gets its own."""
        self.generator.manual_seed(seed)
        self.is_seeded = True

    def draw(self, n: int, k: int) -> list[int]:
        """Draw `k` different indices below `n`, in random order, from this strategy's generator.

        Example:
            >>> sorted(Strategy().draw(3, 3))
            [0, 1, 2]
        """
        return torch.randperm(n, generator=self.generator)[:k].tolist()

    @contextmanager
    def own_draws(self) -> Iterator[None]:
        """Make code that draws from torch's global generator draw from this strategy's own instead."""
        state = torch.get_rng_state()
        torch.set_rng_state(self.generator.get_state())
        try:
            yield
        finally:
            self.generator.set_state(torch.get_rng_state())
            torch.set_rng_state(state)

    def rehearse(self, x: Any, y: Any) -> None:
        """Append samples to the training of the present experience; every epoch then shows each one once.

        Call it in `after_train_dataset_adaptation` or `before_training_exp`. Nothing is drawn, neither from this
        strategy's generator nor from any other.

        Args:
            x: inputs like those of the stream, (n, ...): a tensor, an array, or a list of n of them.
            y: class indices (n,), of any integer type: a tensor, an array, or a list.

        Raises:
            StrategyError: in any other hook, if `x` or `y` are not such samples, or if another strategy has put its
                own data loader in place already.

        Example:
            >>> import clep, torch
            >>> class Again(clep.Strategy):
            ...     def before_training_exp(self, strategy, **kwargs):
            ...         if "x" in self.state:
            ...             self.rehearse(self.state["x"], self.state["y"])
            ...
            ...     def after_training_exp(self, strategy, **kwargs):
            ...         x, y, *_ = zip(*strategy.experience.dataset)
            ...         self.state.update(x=torch.stack(x[:5]), y=torch.tensor(y[:5]))
            >>> stream = clep.stream("digits", experiences=2, samples_per_experience=20)
            >>> clep.Training(clep.Learner(clep.Network([64, 16, 10])), [Again()], epochs=1).run(stream).matrix.shape
            (2, 2)
        """
        if (rehearsal := vars(self).get(OPEN)) is None:
            name = type(self).__name__
            raise StrategyError(
                f"strategies: {name}.rehearse was called outside of the hooks that may call it, {' and '.join(HOOKS)}: "
                "before them the data of the experience are not there yet, and after them its batches are drawn"
            )
        rehearsal.add(x, y)

    def log(self, name: str, value: float) -> None:
        """Record a metric of the experience just trained; it becomes the MLflow metric `name`.

        A `value` that is not a finite number is left out, and named once.

        Raises:
            ConfigError: for a name that the pipeline uses itself, such as `accuracy/seen`, or that MLflow refuses.
        """
        refuse_reserved(name, type(self).__name__)
        try:
            number = math.nan if isinstance(value, str | bytes) else float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):  # the last from a tensor of several numbers
            number = math.nan
        if not math.isfinite(number) and name not in self._not_finite:
            self._not_finite.add(name)
            text = f"strategies: {type(self).__name__} logs {shown(value)} as `{name}`; such values are left out"
            warnings.warn(text, UnusedWarning, stacklevel=2)
        self._logged[name] = number

    def take_log(self) -> dict[str, float]:
        """Return what was logged since the last call, and clear it."""
        logged, self._logged = self._logged, {}
        return logged

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this strategy besides `state`, by default all of its attributes.

        The explicit way is to put what changes into `self.state`: then nothing needs to be overridden. A checkpoint
        holds numbers, texts, containers of these, tensors, generators, samples of the stream, and objects of the
        strategy's own package. Override it, and `load_state_dict`, for anything else.

        Example:
            >>> "generator" in Strategy().state_dict()
            True
        """
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what a checkpoint kept.

        Args:
            state: the entries of `state_dict` that had changed since the strategy was made.
        """
        self.__dict__.update(state)

    def memory(self) -> Memory:
        """Count what this strategy keeps of the past at present; by default, what is found in its attributes."""
        return memory_in(vars(self), numbers=True, owner=type(self).__name__)

    def idle(self) -> str | None:
        """Say why this strategy did nothing in the stream just learned; None if it did. clep names it once."""
        return None


def refusals(plugins: Sequence[BasePlugin], learner: Any, batch_size: int | None = None) -> Iterator[str]:
    """Ask every strategy of a set why it cannot work with a learner.

    Args:
        plugins: strategies and other Avalanche plugins, in the order of their hooks.
        learner: the learner to train.
        batch_size: new samples per training batch.

    Yields:
        Messages, each with the key to change, the reason and what to set instead.

    Raises:
        StrategyError: if a strategy fails to answer.

    Example:
        >>> import clep
        >>> from clep.strategies.sleep_replay import SleepReplay
        >>> sleep = SleepReplay(calibration="published", threshold=[0.1, 0.2, 0.3])
        >>> list(refusals([sleep], clep.Learner(clep.Network([64, 32, 10]))))
        ['strategy.sleep_replay.threshold: expected 1 or 2 values for 2 layers, got 3']
    """
    if len(readers := [parts.name_of("strategy", type(each)) for each in plugins if has_read_out(each)]) > 1:
        names = " and ".join(f"`{name}`" for name in readers)
        yield f"strategies: {names} install a read-out each, and predictions come from one; leave all but one out."
    for plugin in plugins:
        if isinstance(plugin, Strategy):
            given = {"plugins": plugins, "batch_size": batch_size}
            yield from map(str, _asked(plugin, "refuses", list | tuple, "messages", learner, **given))


def has_read_out(plugin: BasePlugin) -> bool:
    """Whether a plugin is a strategy with a read-out of its own.

    Args:
        plugin: a strategy or another Avalanche plugin.

    Example:
        >>> from clep.strategies.class_means import ClassMeans
        >>> from clep.strategy import Strategy
        >>> has_read_out(ClassMeans()), has_read_out(Strategy())
        (True, False)
    """
    return isinstance(plugin, Strategy) and type(plugin).read_out is not Strategy.read_out


def scored_by_read_out(self: Strategy, strategy: Any, **kwargs: Any) -> None:
    """The hook `after_eval_forward` of a strategy with a read-out: plain Avalanche takes its scores as outputs."""
    scores, classes = self.read_out(strategy.model, strategy.mb_x), strategy.mb_output.shape[1]
    unknown_to_it = scores.new_full((len(scores), max(0, classes - scores.shape[1])), -math.inf)
    strategy.mb_output = torch.cat([scores, unknown_to_it], dim=1)


def memory_of(plugin: BasePlugin) -> Memory:
    """Count what a plugin keeps of the past: a strategy says it itself, an Avalanche plugin's attributes are searched.

    Args:
        plugin: a strategy or another Avalanche plugin.

    Example:
        >>> from avalanche.training.plugins import ReplayPlugin
        >>> memory_of(ReplayPlugin(mem_size=20)).exemplars
        0
    """
    if isinstance(plugin, Strategy):
        memory: Memory = _asked(plugin, "memory", Memory, "a `clep.strategy.Memory`")
        return memory
    return memory_in(vars(plugin), owner=type(plugin).__name__)


def reason_of(strategy: Strategy) -> str | None:
    """Why a strategy did nothing, as it says itself; see `Strategy.idle`."""
    reason: str | None = _asked(strategy, "idle", str | None, "a text or None")
    return reason


def _asked(strategy: Strategy, question: str, kind: Any, expected: str, *args: Any, **kwargs: Any) -> Any:
    """What a method of a strategy returns, if it is of the type that it should be."""
    name = f"strategies: {type(strategy).__name__}.{question}"
    try:
        answer = getattr(strategy, question)(*args, **kwargs)
        answer = list(answer) if isinstance(answer, Iterator) else answer
    except ClepError:
        raise
    except (Exception, SystemExit) as error:
        file, line = traceback.extract_tb(error.__traceback__)[-1][:2]
        raise StrategyError(f"{name} failed ({file}, line {line}): {type(error).__name__}: {error}") from error
    if not isinstance(answer, kind):
        raise StrategyError(f"{name} returned {shown(answer)}, expected {expected}")
    return answer


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)
