"""Accuracies of a model, with the evaluation hooks of strategies around them, on data that no strategy learns from.

Hooks see each batch of inputs and may change `mb_x` and `mb_output`: the output counts that is there after
`after_eval_iteration`. Labels are hidden, and a hook that changes weights, stores samples or stops training is an
error. Without such hooks nothing of this happens. A strategy with a read-out takes the place of the network's output.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from avalanche.core import BasePlugin
from torch import Tensor, nn

from clep import interrupts
from clep.bridge import EVALUATION_BATCH, culprit_of
from clep.equilibrium import Network
from clep.errors import ClepError, StrategyError
from clep.plugins import evaluation_hooks
from clep.sharing import sharing_of
from clep.strategy import Strategy, has_read_out, memory_of, scored_by_read_out
from clep.streams import Experience, Samples, avalanche_dataset

_RESTORED = ("experience", "adapted_dataset", "dataloader", "is_training", "mbatch", "mb_output", "loss")
_NOBODYS = "the labels of evaluation data are hidden: strategies must not learn from them"
_HIDDEN = -1  # the label of every sample in what hooks can reach

Score = Callable[[Tensor], Tensor]
"""Inputs (B, ...) -> scores of the classes, (B, K)."""


def accuracies(
    model: nn.Module, experiences: Sequence[Experience], device: torch.device, score: Score | None = None
) -> np.ndarray:
    """Accuracy on each experience, (n,): argmax over all outputs, every sample counted; nothing is learned.

    Args:
        model: the network.
        experiences: what to measure on.
        device: where the network is.
        score: what to take the argmax of; None for the network's output.
    """
    samples = [experience.samples for experience in experiences if len(experience)]
    hits = torch.cat(list(_hits(model, samples, device, score or model))).cpu() if samples else torch.empty(0)
    parts = hits.split([len(experience) for experience in experiences])
    return np.array([float(part.mean()) for part in parts])  # NaN for an empty one


@torch.no_grad()
def _hits(model: nn.Module, samples: Sequence[Samples], device: torch.device, score: Score) -> Iterator[Tensor]:
    """1 for each sample that is classified correctly and 0 for the others, batch by batch."""
    was_training = model.training
    model.eval()
    for part in _grouped(samples) if score is model and _sees_samples_alone(model) else samples:
        for x, y in zip(part.x.split(EVALUATION_BATCH), part.y.split(EVALUATION_BATCH), strict=True):
            interrupts.check()
            # A copy, since a network may overwrite what it is given.
            yield (score(x.to(device, copy=True)).argmax(1) == y.to(device)).double()
    model.train(was_training)


def _grouped(samples: Sequence[Samples]) -> Iterator[Samples]:
    """The same samples; small sets are joined until they fill a batch, since small batches take mostly calls."""
    group: list[Samples] = []
    for part in samples:
        group.append(part)
        if sum(map(len, group)) >= EVALUATION_BATCH:
            yield _joined(group)
            group = []
    if group:
        yield _joined(group)


def _joined(group: Sequence[Samples]) -> Samples:
    if len(group) == 1:
        return group[0]
    return Samples(torch.cat([part.x for part in group]), torch.cat([part.y for part in group]))


def _sees_samples_alone(model: nn.Module) -> bool:
    """Whether clep knows that the output for a sample does not depend on its batch."""
    return isinstance(model, Network) and model.spec.tolerance == 0.0 and model.spec.dynamics != "bernoulli"


def evaluated(template: Any, experiences: Sequence[Experience], plugins: Sequence[BasePlugin]) -> np.ndarray:
    """Accuracy on each experience, (n,), as `accuracies`, with the evaluation hooks of plug-ins in Avalanche's order.

    If one of the plug-ins has a read-out, its scores are in place of the network's output.

    Args:
        template: the training template; it is afterwards as it was.
        experiences: what to measure on.
        plugins: strategies and other plug-ins, in the order of their hooks.

    Raises:
        StrategyError: if a hook fails, asks for labels, changes weights or data, stores samples, or stops training.
    """
    hooks = [(plugin, found) for plugin in plugins if (found := _hooks_of(plugin))]
    score, ranks = _score(template.model, plugins), sharing_of(template).ranks
    if not hooks and ranks.count > 1:  # each process measures a part
        row = torch.zeros(len(experiences), dtype=torch.float64, device=template.device)
        own = accuracies(template.model, experiences[ranks.rank :: ranks.count], template.device, score)
        row[ranks.rank :: ranks.count] = torch.as_tensor(own, dtype=torch.float64, device=template.device)
        return ranks.sum(row).cpu().numpy()
    if not hooks:
        return accuracies(template.model, experiences, template.device, score)
    with _evaluating(template), _nothing_stored([plugin for plugin, _ in hooks]):
        evaluation = _Evaluation(template, hooks, score)
        template.current_eval_stream = hidden = [_Hidden(experience) for experience in experiences]
        evaluation.fire("before_eval")
        values = [evaluation.accuracy(*pair) for pair in zip(experiences, hidden, strict=True)]
        evaluation.fire("after_eval")
    return np.array(values)


def _hooks_of(plugin: BasePlugin) -> frozenset[str]:
    """The evaluation hooks of a plug-in, without the one that gives its read-out to plain Avalanche."""
    found = evaluation_hooks(plugin)
    given = getattr(type(plugin), "after_eval_forward", None) is scored_by_read_out
    return found - {"after_eval_forward"} if given else found


def _score(model: nn.Module, plugins: Sequence[BasePlugin]) -> Score:
    """The read-out of a plug-in that has one, otherwise the network."""
    reader = next((plugin for plugin in plugins if has_read_out(plugin)), None)
    return partial(_read, reader, model) if isinstance(reader, Strategy) else model


def _read(reader: Strategy, model: nn.Module, x: Tensor) -> Tensor:
    """The scores of a read-out, checked."""
    name = f"strategies: {type(reader).__name__}.read_out"
    try:
        scores = reader.read_out(model, x)
    except ClepError:
        raise
    except Exception as error:
        raise StrategyError(f"{name} failed: {type(error).__name__}: {error}") from error
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(x):
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise StrategyError(f"{name} returned {shape}, expected scores (B, K), a row for each of {len(x)} samples")
    return scores


class _Evaluation:
    """One evaluation with hooks."""

    def __init__(self, template: Any, hooks: Sequence[tuple[BasePlugin, frozenset[str]]], score: Score) -> None:
        self._template, self._hooks, self._score = template, hooks, score

    def accuracy(self, experience: Experience, hidden: "_Hidden") -> float:
        """Accuracy on one experience."""
        template = self._template
        if len(experience) == 0:
            return float("nan")
        template.experience = hidden
        self.fire("before_eval_dataset_adaptation")
        template.adapted_dataset = hidden.dataset
        # A loader draws a number when it starts. Here it comes from a generator that nothing else uses.
        template.dataloader = hidden.samples.loader(EVALUATION_BATCH, shuffle=False, generator=torch.Generator())
        self.fire("after_eval_dataset_adaptation")
        self.fire("before_eval_exp")
        hits, labels = 0, experience.samples.y.split(EVALUATION_BATCH)
        for (x, _, t), y in zip(template.dataloader, labels, strict=True):
            interrupts.check()
            template.mbatch = [x.to(template.device), _HiddenLabels(), t.to(template.device)]
            self.fire("before_eval_iteration")
            self.fire("before_eval_forward")
            template.mb_output = self._score(template.mb_x)
            self.fire("after_eval_forward")
            self.fire("after_eval_iteration")
            hits += int((self._scored(len(y)).argmax(1) == y.to(template.device)).sum())
        self.fire("after_eval_exp")
        return hits / len(experience)

    def fire(self, event: str) -> None:
        """Call a hook of the plug-ins that have it."""
        template = self._template
        for p in (plugin for plugin, found in self._hooks if event in found):
            before = self._kept()
            try:
                getattr(p, event)(template)
            except ClepError:
                raise
            except (Exception, SystemExit) as error:
                raise StrategyError(
                    f"strategies: {culprit_of(error)} in an evaluation: {type(error).__name__}: {error}"
                ) from error
            if changed := next((what for what, same in self._changes(before) if not same), None):
                raise StrategyError(
                    f"strategies: {type(p).__name__}.{event} changes {changed}; nothing may be learned from evaluation "
                    "data. Change it in a hook of training, such as `after_training_exp`"
                )

    def _kept(self) -> dict[str, Any]:
        template = self._template
        weights = {name: tensor.clone() for name, tensor in template.model.state_dict().items()}
        return {"model": template.model, "weights": weights} | {
            name: getattr(template, name) for name in ("adapted_dataset", "dataloader", "_stop_training")
        }

    def _changes(self, before: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
        """What a hook must not change, and whether it is the same."""
        template = self._template
        yield "the model", template.model is before["model"]
        weights = template.model.state_dict()
        for name, tensor in before["weights"].items():
            yield f"`{name}`", torch.equal(tensor, weights[name])
        yield "the data that are evaluated on", template.adapted_dataset is before["adapted_dataset"]
        yield "the loader of evaluation data", template.dataloader is before["dataloader"]
        yield "how long is trained", template._stop_training == before["_stop_training"]

    def _scored(self, samples: int) -> Tensor:
        output = self._template.mb_output
        if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != samples:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise StrategyError(
                f"strategies: an evaluation hook has made `mb_output` {shape}, expected one row of outputs for each of "
                f"the {samples} samples"
            )
        return output


@contextmanager
def _evaluating(template: Any) -> Iterator[None]:
    """The template as evaluation hooks may see it, and afterwards as it was."""
    kept = {name: getattr(template, name, None) for name in _RESTORED}
    model, was_training = template.model, template.model.training
    model.eval()
    template.is_training, template.mbatch, template.mb_output = False, None, None
    template.loss = template._make_empty_loss()
    try:
        with torch.no_grad():
            yield
    finally:
        for name, value in kept.items():
            setattr(template, name, value)
        template.current_eval_stream = []
        model.train(was_training)


@contextmanager
def _nothing_stored(plugins: Sequence[BasePlugin]) -> Iterator[None]:
    before = [memory_of(plugin).exemplars for plugin in plugins]
    yield
    for plugin, stored in zip(plugins, before, strict=True):
        if memory_of(plugin).exemplars != stored:
            raise StrategyError(
                f"strategies: {type(plugin).__name__} stores samples in an evaluation; nothing may be learned from "
                "evaluation data. Store them in a hook of training, such as `after_training_exp`"
            )


class _Hidden:
    """An experience of evaluation as its hooks see it: inputs, and nothing of labels or classes."""

    task_label, task_labels = 0, (0,)

    def __init__(self, experience: Experience) -> None:
        self.current_experience = experience.index
        y = torch.full_like(experience.samples.y, _HIDDEN)
        self.samples = Samples(experience.samples.x, y)

    @cached_property
    def dataset(self) -> Any:
        """The samples, each with the label -1."""
        return avalanche_dataset(self.samples)

    def __getattr__(self, name: str) -> Any:
        known = "`current_experience`, `dataset` and `task_label`"
        raise AttributeError(f"an experience of evaluation has {known}, and no `{name}`; {_NOBODYS}")


class _HiddenLabels:
    """In place of labels: whatever is done with it is an error that says why."""

    @classmethod
    def __torch_function__(cls, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(_NOBODYS)

    def _refuse(self, *args: Any) -> Any:
        raise RuntimeError(_NOBODYS)

    __getattr__ = __getitem__ = __iter__ = __len__ = __array__ = __bool__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __int__ = __float__ = __index__ = _refuse
    __hash__ = object.__hash__
