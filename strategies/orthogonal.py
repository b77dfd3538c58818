"""Orthogonal weight modification (OWM): learn only along inputs of a layer that earlier experiences did not use.

Reference: Zeng, Chen, Cui & Yu 2019 (Nat. Mach. Intell. 1:364; arXiv 1810.01256). They project the gradient, with one
rank-one step per batch for the batch's mean input: `protects=batches`. By default the sums are over all samples of an
experience. What is projected is the whole update in both: momentum, weight decay and Adam would lead back to where the
gradient must not go. What the projection lets through adds up over many updates; theirs becomes tighter with each, and
with sums over samples a pull ends the drift.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from clep.dense_parameters import DenseParameters, joined, parameters_of
from clep.equilibrium.stack import DenseStack, stack_of
from clep.errors import ConfigError
from clep.sharing import sharing_of
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Memory, Strategy

_BATCH = 500
_Sums = dict[str, list[Tensor]]


@dataclass(frozen=True)
class OrthogonalOptions(Spec):
    """The options of orthogonal weight modification.

    Example:
        >>> OrthogonalOptions().alpha
        [1.0]
    """

    alpha: list[float] = option(
        [1.0],
        "how far the inputs of a layer may still be used, in units of the mean square of its inputs: towards 0 nothing "
        "that an earlier experience used is changed any more, and little can be learned. One value for all layers, two "
        "for those below the output and the output, or one each",
        "(0, inf)",
    )
    protects: Literal["samples", "batches"] = option(
        "samples",
        "what is protected: the inputs of a layer by all `samples` of each earlier experience, or, as published, the "
        "mean inputs by each of the `batches` so far, also those of the present experience. `batches` goes with "
        "`pull=0`, small batches, cross-entropy, and an alpha that is larger for the output, such as [0.3, 8]",
    )
    pull: float = option(
        1.0,
        "strength of the pull towards the weights at the end of the experience before, along inputs used until then; "
        "at 1, each earlier experience counts as much as the present one. 0 for the projection alone. It needs "
        "`protects=samples`",
        "[0, inf)",
    )
    feedback: bool = option(
        False,
        "whether to protect as well what the states of earlier experiences send down, by projecting on the other side: "
        "weights that serve both ways (tied feedback), or those that serve the way down (untied)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pull and self.protects == "batches":
            raise ConfigError("pull: it needs sums over samples; set it to 0, or protects=samples")


@takes(OrthogonalOptions)
class Orthogonal(Strategy):
    """Replace each update dW of a layer by dW P, with P = (C / (alpha m) + I)^-1.

    With `protects=samples`, C is the sum over earlier experiences of the mean of r r^T, where r are the signals below
    the layer at the end of an experience (the states of a free phase), with a 1 appended for the bias. m is the mean
    square of r. P passes a direction that no earlier experience used, and shrinks one whose mean square is v to
    alpha m / (alpha m + v). Both factors are local to a layer: C is a sum of products of signals at its lower end.

    With `protects=batches`, C / m is the sum of q q^T / m over all batches until now, where q is the mean of r over a
    batch and m the mean square of r in it: P takes one step of recursive least squares before each update, and the
    present experience, too, is protected from its own later updates. What all samples of a batch have in common counts
    far more than how they differ.

    P only slows down what it shrinks. `pull` adds (W - W0) C to the gradient, where W0 are the weights at the end of
    the experience before: the gradient of half the squared change of the drive for all earlier inputs. For a linear
    layer with squared error, the two together converge to what learning everything at once would have found, with P as
    the metric of the descent (recursive least squares). C-EP has no such gradient, and needs pull=0.

    In a feed-forward network this leaves the drive of every layer by earlier inputs as it was, and so the outputs. In
    an equilibrium network a weight also carries signals down. With tied feedback, h receives W^T s: an update dW P
    still leaves the drive W h of the layer above alone, but it moves the state h below by dW^T s, and with it
    everything else. `feedback` multiplies from the other side, too: dW becomes Q dW P, with Q made of the states s
    above as P is of those below. The fixed points of earlier inputs then stay where they are. The price is plasticity,
    since s is nearly one-hot: what one class taught its own output can hardly be changed any more.

    Raises:
        ConfigError: for an unknown option or a value out of range.

    Example:
        >>> Orthogonal(alpha=[0.5]).memory()
        Memory(exemplars=0, exemplar_bytes=0, statistics_bytes=0)
    """

    uses_gradients = True  # for the pull; the projection acts when the weights have moved
    replicates: ClassVar = True  # it acts on the update of the whole batch
    search_space: ClassVar = {
        "alpha[0]": {"low": 0.03, "high": 30.0, "log": True},
        "pull": {"low": 0.1, "high": 10.0, "log": True},
    }

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = from_keywords(OrthogonalOptions, options)
        self.uses_gradients = self._options.pull > 0.0  # type: ignore[misc] # what it does depends on its options
        self._layers: list[DenseParameters] = []
        self._projectors: _Sums = {}
        self._before: list[list[Tensor]] = []

    @classmethod
    def searched(cls, options: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        """Without the pull where there is none.

        Args:
            options: the values that are set in the configuration.
        """
        without = {"pull"} if options.get("protects") == "batches" else set()
        return {name: values for name, values in cls.search_space.items() if name not in without}

    def refuses(self, learner: Any, **kwargs: Any) -> Iterator[str]:
        """Refuse models with parameters that would change unprotected, and values that do not fit the layers."""
        network = learner.network
        try:
            layers = parameters_of(network, stack_of(network), "orthogonal")
        except ConfigError as error:
            yield str(error)
            return
        try:
            _per_layer(self._options.alpha, len(layers))
        except ConfigError as error:
            yield f"strategy.orthogonal.{error}"
        if self._options.feedback and not any(layer.feedback for layer in layers):
            yield (
                f"strategy.orthogonal.feedback: {type(network).__name__} has no feedback from a layer above the "
                "first to one that moves; set it to false."
            )

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Find the parameters of each layer, and invert the sums; without any, the first experience learns freely."""
        n = self.state.get("experiences", 0)
        if not n and not self._by_batches:
            return
        self._layers = parameters_of(strategy.model, stack_of(strategy.model), "orthogonal")
        if self._by_batches:
            self._projectors = self.state.setdefault("projectors", {})
            return
        alpha = _per_layer(self._options.alpha, len(self._layers))
        self._projectors = {
            side: [projector(c, n, a) for c, a in zip(self.state[side], alpha, strict=True)] for side in self._sides
        }
        self._log_free()

    @torch.no_grad()
    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        """Remember the weights, and pull them back, or protect what the batch has in common."""
        if self._by_batches:
            self._protect(strategy)
        self._before = [[parameter.clone() for parameter in layer.all] for layer in self._layers]
        if self._options.pull and self._layers:
            for layer, anchor, c in zip(self._layers, self.state["anchors"], self.state["below"], strict=True):
                pull = self._options.pull * (layer.joined() - anchor) @ c
                for parameter, part in ((layer.weight, pull[:, : layer.weight.shape[1]]), (layer.bias, pull[:, -1])):
                    if parameter is not None and parameter.grad is not None:
                        parameter.grad += part

    @torch.no_grad()
    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        """Project the change."""
        for index, (layer, before) in enumerate(zip(self._layers, self._before, strict=True)):
            above = self._projectors["above"][index] if self._options.feedback and layer.feedback else None
            project(layer, before, self._projectors["below"][index], above)

    @torch.no_grad()
    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Add the signals of the experience just trained, unless they have been protected batch by batch."""
        if self._by_batches:
            self._log_free()
        else:
            self._add(strategy)
        self._layers, self._before, self._projectors = [], [], {}

    def memory(self) -> Memory:
        """The sums, and the weights to pull to; or the projectors, where they are not made of sums."""
        kept = [tensor for name in ("below", "above", "anchors") for tensor in self.state.get(name, [])]
        kept += [tensor for of_side in self.state.get("projectors", {}).values() for tensor in of_side]
        return Memory(statistics_bytes=sum(tensor.nbytes for tensor in kept))

    def state_dict(self) -> dict[str, Any]:
        """All but what each experience and each update begin with anew."""
        anew = ("_layers", "_before", "_projectors")
        return {name: value for name, value in vars(self).items() if name not in anew}

    @property
    def _sides(self) -> tuple[str, ...]:
        """The ends of a layer whose signals are kept."""
        return ("below", "above") if self._options.feedback else ("below",)

    @property
    def _by_batches(self) -> bool:
        return self._options.protects == "batches"

    def _add(self, strategy: Any) -> None:
        """Add the signals of the experience just trained to the sums."""
        stack = stack_of(strategy.model)
        layers = parameters_of(strategy.model, stack, "orthogonal")
        found = signals(strategy, stack, [layer.bias is not None for layer in layers], self._sides)
        self.state["experiences"] = self.state.get("experiences", 0) + 1
        for side in self._sides:
            old = self.state.get(side)
            self.state[side] = found[side] if old is None else [a + b for a, b in zip(old, found[side], strict=True)]
        if self._options.pull:
            self.state["anchors"] = [layer.joined().clone() for layer in layers]

    def _protect(self, strategy: Any) -> None:
        """Tighten the projectors by the mean signals of the present batch."""
        biased = [layer.bias is not None for layer in self._layers]
        alpha = _per_layer(self._options.alpha, len(self._layers))
        ends = _ends(strategy.model, stack_of(strategy.model), strategy.mb_x, biased, self._sides)
        for side, of_side in ends.items():
            of_layers = sharing_of(strategy).rows(of_side)
            if side not in self._projectors:
                self._projectors[side] = [torch.eye(s.shape[1], dtype=s.dtype, device=s.device) for s in of_layers]
            for p, s, a in zip(self._projectors[side], of_layers, alpha, strict=True):
                tighten(p, s, a)

    def _log_free(self) -> None:
        """How much of an update of each layer passes, on average over its inputs."""
        for index, p in enumerate(self._projectors.get("below", [])):
            self.log(f"orthogonal/free/{index + 1}", float(p.diagonal().mean()))


def project(layer: DenseParameters, before: Sequence[Tensor], below: Tensor, above: Tensor | None) -> None:
    """Keep of the change since `before` what P below and, for feedback, Q above leave.

    Args:
        layer: the parameters as they are now.
        before: what they were, in the order of `layer.all`.
        below: P, (m, m), or (m + 1, m + 1) with a bias.
        above: Q, (n, n); None where the way down is not protected.
    """
    change = (layer.joined() - joined(before[0], None if layer.bias is None else before[1])) @ below
    if above is not None and layer.down is None:
        change = above @ change
    layer.weight.copy_(before[0] + change[:, : layer.weight.shape[1]])
    if layer.bias is not None:
        layer.bias.copy_(before[1] + change[:, -1])
    if above is not None and layer.down is not None:
        layer.down.copy_(before[-1] + above @ (layer.down - before[-1]))


def signals(strategy: Any, stack: DenseStack, biased: Sequence[bool], sides: Sequence[str]) -> _Sums:
    """Means of r r^T over the experience, for the signals at the ends of each layer; float32.

    Args:
        strategy: the training template, with the experience just trained.
        stack: the layers.
        biased: for each layer, whether a 1 is appended to the signals below it.
        sides: the ends, `below` and `above`.
    """
    x = torch.stack([sample[0] for sample in strategy.experience.dataset])
    sums: _Sums = {}
    for batch in x.to(strategy.device).split(_BATCH):
        for side, of_side in _ends(strategy.model, stack, batch, biased, sides).items():
            products = [s.double().T @ s.double() / len(x) for s in of_side]
            sums[side] = [a + b for a, b in zip(sums[side], products, strict=True)] if side in sums else products
    return {side: [c.to(x.dtype) for c in of_side] for side, of_side in sums.items()}


def _ends(
    model: Any, stack: DenseStack, x: Tensor, biased: Sequence[bool], sides: Sequence[str]
) -> dict[str, list[Tensor]]:
    """Signals at the ends of each layer for a batch x (B, ...), each (B, n); with a 1 below biased ones."""
    states = stack.presynaptic(x)
    ends = {
        "below": [torch.cat([s, s.new_ones(len(s), 1)], 1) if b else s for s, b in zip(states, biased, strict=True)]
    }
    return ends | ({"above": [*states[1:], model(x)]} if "above" in sides else {})


def tighten(p: Tensor, signals: Tensor, alpha: float) -> None:
    """P <- P - P q q^T P / (alpha m + q^T P q) in place, with q the mean of `signals` (B, n) and m their mean square.

    Zeng et al. 2019, equation 4, but for the unit m of alpha.

    Example:
        >>> import torch
        >>> p = torch.eye(2)
        >>> tighten(p, torch.tensor([[2.0, 0.0]]), 0.5)
        >>> p
        tensor([[0.2000, 0.0000],
                [0.0000, 1.0000]])
    """
    q = signals.mean(0)
    k = p @ q
    below = alpha * signals.square().mean() + q @ k
    p -= torch.outer(k, k) / below.clamp_min(torch.finfo(p.dtype).tiny)  # where nothing came in, k is 0


def projector(c: Tensor, experiences: int, alpha: float) -> Tensor:
    """P = (C / (alpha m) + I)^-1, (n, n), for C (n, n) summed over experiences, with m the mean of its diagonal in one.

    Example:
        >>> import torch
        >>> projector(torch.diag(torch.tensor([3.0, 1.0])), 1, 0.5)
        tensor([[0.2500, 0.0000],
                [0.0000, 0.5000]])
    """
    exact = c.double()
    unit = alpha * float(exact.diagonal().mean()) / experiences
    eye = torch.eye(len(exact), dtype=exact.dtype, device=exact.device)
    return torch.linalg.inv(exact / unit + eye).to(c.dtype) if unit > 0.0 else eye.to(c.dtype)


def _per_layer(alpha: Sequence[float], depth: int) -> list[float]:
    """One value for all layers, two for those below the output and the output, or one each."""
    if len(alpha) == 2 and depth > 2:
        return [alpha[0]] * (depth - 1) + [alpha[1]]
    if len(alpha) in (1, depth):
        return list(alpha) * depth if len(alpha) == 1 else list(alpha)
    *fewer, most = sorted({1, 2, depth})
    allowed = f"{', '.join(map(str, fewer))} or {most}"
    raise ConfigError(f"alpha: expected {allowed} values for {depth} layers, got {len(alpha)}")
