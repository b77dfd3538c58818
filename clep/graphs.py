"""One update as a CUDA graph: its kernels are recorded once and then launched together, with new samples in place.

A step of a relaxation is a handful of small kernels, and to launch them one by one takes longer than to run them. What
needs a card is one function, `on_cuda`; everything else is the same for any way to record.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from clep.equilibrium import Backpropagation, Clamping, CostNudging, LinearNudging, Network, Prediction
from clep.errors import ConfigError

Choice = Literal["off", "auto", "on"]
Outputs = Sequence[Tensor]
Record = Callable[[Callable[[], Outputs]], tuple[Outputs, Callable[[], None]]]
"""A function without arguments -> its outputs, and a call that computes them anew, in the same memory."""

_WARM_UP = 3  # updates as usual before one of the same shape is recorded: libraries choose their kernels in them
_MOST = 4  # recordings at a time; each has memory of its own
_ESTIMATES = (LinearNudging, CostNudging, Clamping, Backpropagation)
_NOT_FOLLOWED = (
    "learner.cuda_graph: a strategy differentiates or replaces the output of the network, which a recorded update does "
    "not allow; set learner.cuda_graph=off"
)


def on_cuda(function: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
    """Record a function as a CUDA graph; the outputs are computed by the first replay.

    Args:
        function: launches kernels, the same in every call, and waits for none.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function()
    return outputs, graph.replay


class Recording:
    """A function of tensors, recorded for inputs of one shape: copied in, replayed, and read from the same memory.

    Args:
        function: tensors -> tensors.
        inputs: examples; their values do not matter.
        record: how.

    Example:
        >>> import torch
        >>> def again(function):
        ...     outputs = function()
        ...     return outputs, lambda: [old.copy_(new) for old, new in zip(outputs, function())]
        >>> twice = Recording(lambda x: [2 * x], [torch.zeros(2)], again)
        >>> twice(torch.tensor([1.0, 2.0]))
        [tensor([2., 4.])]
    """

    def __init__(self, function: Callable[..., Outputs], inputs: Sequence[Tensor], record: Record) -> None:
        self._inputs = [given.detach().clone() for given in inputs]
        self._outputs, self._replay = record(lambda: function(*self._inputs))

    def __call__(self, *inputs: Tensor) -> Outputs:
        """The outputs; **the next call overwrites them**."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._replay()
        return self._outputs


class Replay(NamedTuple):
    """What a recorded update has computed.

    Attributes:
        prediction: of the batch; its output cannot be differentiated.
        loss: of the batch, (); its `backward()` delivers the recorded gradients.
    """

    prediction: Prediction
    loss: Tensor

    def loss_for(self, output: Tensor) -> Tensor:
        """The loss, if the output is still the one that it is of.

        Args:
            output: after others may have acted on it, (B, K).

        Raises:
            ConfigError: if it was replaced.
        """
        if output is not self.prediction.output:
            raise ConfigError(_NOT_FOLLOWED)
        return self.loss


class Graphs:
    """Computes the updates of a learner by recordings: free phase, nudged phases and gradients.

    The optimiser is not in them: its learning rate and its state change between updates, and it takes few kernels.
    Updates of a shape that was seen a few times are recorded; others are computed as usual, such as the last batch of
    an epoch, the first times. If the network, its gradient or the memory of its parameters are others than before, all
    is recorded anew.

    Args:
        required: whether a learner whose updates cannot be recorded is refused.
        record: how; as CUDA graphs by default.

    Raises:
        ConfigError: see `required`; when the first update is computed.
    """

    def __init__(self, *, required: bool = False, record: Record = on_cuda) -> None:
        self._required, self._record = required, record
        self.forget()

    def forget(self) -> None:
        """Free the memory of all recordings."""
        self._of: tuple[Any, ...] = ()
        self._recordings: dict[Hashable, _Update] = {}
        self._seen: Counter[Hashable] = Counter()

    def replay(self, learner: Any, x: Tensor, y: Tensor) -> Replay | None:
        """An update by a recording; None if it is to be computed as usual.

        Args:
            learner: a `clep.learner.Learner`.
            x: inputs, (B, ...).
            y: class indices, (B,).
        """
        if (reason := next(reasons(learner), None)) is not None:
            if self._required:
                raise ConfigError(f"learner.cuda_graph: it cannot be recorded: {reason}; leave it off")
            return None
        of = _identity(learner)
        if len(of) != len(self._of) or any(a is not b and a != b for a, b in zip(of, self._of, strict=True)):
            self.forget()
            self._of = of
        shape = (x.shape, x.dtype, x.stride(), y.shape, y.dtype, learner.training)
        recording = self._recordings.get(shape)
        if recording is None:
            self._seen[shape] += 1
            if self._seen[shape] <= _WARM_UP or len(self._recordings) >= _MOST:
                return None
            recording = self._recordings[shape] = _Update(learner, x, y, self._record)
        return recording(x, y)


def reasons(learner: Any) -> Iterator[str]:
    """Say why the updates of a learner cannot be recorded.

    Args:
        learner: a `clep.learner.Learner`.

    Example:
        >>> import clep
        >>> next(reasons(clep.Learner(clep.Network([64, 16, 10], tolerance=0.1))))
        'with network.tolerance=0.1, a relaxation ends when its states say so'
    """
    network, gradient = learner.network, learner.gradient
    if type(network) is not Network:
        yield f"{type(network).__name__} is no equilibrium network"
        return
    if network.spec.tolerance > 0.0:
        yield f"with network.tolerance={network.spec.tolerance}, a relaxation ends when its states say so"
    if network.spec.dynamics == "bernoulli":
        yield "with network.dynamics=bernoulli, every update seeds its spikes anew"
    if type(gradient) not in _ESTIMATES:
        yield f"{type(gradient).__name__} is not one of the estimates that take the same steps in every update"
    if getattr(gradient, "phases", None) == "random_sign":
        yield "with learner.phases=random_sign, every update draws a sign"
    if getattr(gradient, "adaptation", None) is not None:
        yield "neuronal adaptation looks at norms in every update"


def _identity(learner: Any) -> tuple[Any, ...]:
    """What a recording is of: the objects that made it, and the memory that it reads."""
    network = learner.network
    tensors = (*network.parameters(), *network.buffers())
    return (network, network.gradient, learner.criterion, *(tensor.data_ptr() for tensor in tensors))


@contextmanager
def _aliases(network: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Put leaves over the same memory in the place of the parameters; pairs of a parameter and its leaf.

    Autograd keeps a node for each leaf as long as somebody keeps an output, and runs it on the stream that it was made
    on. A node of an update as usual would bring that update's stream into the recording, which CUDA refuses.
    """
    places = [(part._parameters, name, own) for part in network.modules() for name, own in part._parameters.items()]
    learned = {id(own): own for _, _, own in places if own is not None and own.requires_grad}
    leaves = {key: own.detach().requires_grad_() for key, own in learned.items()}
    try:
        for held, name, own in places:
            if id(own) in leaves:
                held[name] = leaves[id(own)]  # type: ignore[assignment]
        yield [(learned[key], leaf) for key, leaf in leaves.items()]
    finally:
        for held, name, own in places:
            held[name] = own


class _Update:
    """A recorded update of a learner, for batches of one shape."""

    def __init__(self, learner: Any, x: Tensor, y: Tensor, record: Record) -> None:
        network, gradient, criterion = learner.network, learner.gradient, learner.criterion
        self._parameters: list[Tensor] = []
        self._prediction: Prediction
        self.number = 0

        def update(x: Tensor, y: Tensor) -> Outputs:
            with _aliases(network) as aliases:
                self._prediction = prediction = gradient.predict(network, x)
                loss = gradient.loss(prediction, y, criterion)
                found = torch.autograd.grad(loss, [alias for _, alias in aliases], allow_unused=True)
            used = [(own, on_own) for (own, _), on_own in zip(aliases, found, strict=True) if on_own is not None]
            self._parameters = [own for own, _ in used]
            free = prediction.free
            settling = loss.detach() if free is None else torch.stack([free.residual, free.halfway])
            return [loss.detach(), prediction.output.detach(), settling, *(on_own for _, on_own in used)]

        try:
            self._recording = Recording(update, [x, y], record)
        except RuntimeError as error:
            first = str(error).partition("\n")[0]
            raise ConfigError(
                f"learner.cuda_graph: it cannot be recorded ({first}); set learner.cuda_graph=off"
            ) from error
        self._prediction = replace(self._prediction, output=self._prediction.output.detach())

    def __call__(self, x: Tensor, y: Tensor) -> Replay:
        self.number += 1
        loss, output, settling, *gradients = self._recording(x, y)
        free = self._prediction.free
        if free is not None:  # read at once, since each read waits for the device
            residual, halfway = settling.cpu()
            free = replace(free, residual=residual, halfway=halfway)
        loss, output = _Replayed.apply(self, gradients, loss, output, *self._parameters)
        return Replay(Prediction(output, free), loss)


class _Replayed(torch.autograd.Function):
    """parameters -> loss and output; backward delivers the gradients that were computed beside them."""

    @staticmethod
    def forward(
        ctx: Any, update: _Update, gradients: list[Tensor], loss: Tensor, output: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.update, ctx.number, ctx.gradients = update, update.number, gradients
        ctx.set_materialize_grads(False)
        return loss.clone(), output.clone()

    @staticmethod
    def backward(ctx: Any, on_loss: Tensor | None, on_output: Tensor | None) -> tuple[Tensor | None, ...]:
        if on_output is not None:
            raise ConfigError(_NOT_FOLLOWED)
        if ctx.number != ctx.update.number:
            raise RuntimeError("The gradients of this loss were overwritten by those of a later update.")
        if on_loss is None:
            return (None,) * (4 + len(ctx.gradients))
        return None, None, None, None, *torch._foreach_mul(ctx.gradients, on_loss)
