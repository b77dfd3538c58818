"""One learner in several processes: each takes a part of every batch, and all make the same update.

The processes see the same data in the same order and draw the same numbers, so what strategies remember is the same in
each. Gradients are added up with the share of the batch that they are of, which is the gradient of the whole batch,
also where it does not divide evenly. Backends are those of torch: gloo between CPUs, NCCL between GPUs.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from clep import interrupts, temporary
from clep.errors import ClepError

_CONNECTING = timedelta(minutes=10)  # for libraries and data to be loaded in the others
_LOOK_SECONDS = 1.0  # how long an interrupt can stay unnoticed
_LAST_WORD_SECONDS = 5.0  # for a process that failed to say why


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that train one learner.

    Attributes:
        rank: its number; 0 is the one that records.
        count: how many there are.

    Example:
        >>> import torch
        >>> batch = [torch.arange(5), torch.arange(5)]
        >>> (x, y), share = Ranks(1, 2).part(batch)
        >>> x.tolist(), share
        ([1, 3], 0.4)
    """

    rank: int = 0
    count: int = 1

    def part(self, batch: Sequence[Tensor]) -> tuple[list[Tensor], float]:
        """This process's samples of a batch, and their share of it.

        Args:
            batch: tensors of the same samples, (B, ...) each.
        """
        whole = len(batch[0])
        own = range(self.rank, whole, self.count)
        if not own:  # fewer samples than processes: one more look at the first, which does not count
            return [tensor[:1] for tensor in batch], 0.0
        return [self.of_first(tensor) for tensor in batch], len(own) / whole

    def of_first(self, samples: Tensor) -> Tensor:
        """This process's rows of a batch or of its first samples, (n, ...); perhaps none."""
        return samples[self.rank :: self.count]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in each of them; the tensor itself is changed."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The sums of several tensors over all processes, in one message."""
        whole = self.sum(torch.cat([tensor.flatten() for tensor in tensors]))
        parts = whole.split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def largest(self, value: Tensor) -> Tensor:
        """The largest value over all processes, in each of them; the tensor itself is changed."""
        if self.count > 1:
            distributed.all_reduce(value, op=distributed.ReduceOp.MAX)
        return value

    def same(self, values: Tensor) -> bool:
        """Whether all processes have the same values, (n,)."""
        if self.count == 1:
            return True
        found = self.largest(torch.cat([values, -values]))
        return bool(torch.equal(found[: len(values)], -found[len(values) :]))

    def add_gradients(self, parameters: Iterable[nn.Parameter], share: float) -> None:
        """Put the gradients of the whole batch in place of those of its parts, in one message.

        Args:
            parameters: of the network.
            share: of this process's samples in the batch.
        """
        if self.count == 1:
            return
        found = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for gradient, whole in zip(found, self.sums([gradient * share for gradient in found]), strict=True):
            gradient.copy_(whole)

    def agree(self, module: nn.Module) -> None:
        """Give all processes the parameters and buffers of the first."""
        if self.count > 1:
            for tensor in [*module.parameters(), *module.buffers()]:
                distributed.broadcast(tensor.data, src=0)


ALONE = Ranks()
"""A learner in one process."""


@contextmanager
def connected(ranks: Ranks, device: str, function: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Start the other processes, and let all of them talk for a block.

    Args:
        ranks: those of this process, which is the first.
        device: `cpu` or `cuda`.
        function: importable by name; `function(ranks, *arguments)` is what the others do meanwhile.
        *arguments: what can be pickled.

    Raises:
        ClepError: the one that another process ended with.
    """
    if ranks.count == 1:
        yield
        return
    context = multiprocessing.get_context("spawn")
    others: list[tuple[Connection, Any]] = []
    with temporary.folder() as folder:
        meeting = folder / "ranks"
        try:
            for rank in range(1, ranks.count):
                receiver, sender = context.Pipe(duplex=False)
                given = (Ranks(rank, ranks.count), device, str(meeting), sender, function, arguments)
                process = context.Process(target=_beside, args=given, daemon=True, name=f"clep rank {rank}")
                process.start()
                sender.close()
                others.append((receiver, process))
            for number, (receiver, process) in enumerate(others, start=1):
                _await(number, receiver, process)
            _meet(ranks, device, meeting)
            yield
        except RuntimeError as error:  # of torch: another process is gone
            if (reason := _last_word(others)) is None:
                raise
            raise reason from error
        finally:
            with interrupts.held():
                for _, process in others:
                    process.kill()
                    process.join()
                if distributed.is_initialized():
                    distributed.destroy_process_group()


def _await(rank: int, receiver: Connection, process: Any) -> None:
    """Wait until another process is there; to meet one that has died would take minutes."""
    while not receiver.poll(_LOOK_SECONDS):
        interrupts.check()
    try:
        receiver.recv()
    except (EOFError, OSError):
        process.join()
        code = process.exitcode
        raise ClepError(f"trainer.devices: process {rank} ended with exit code {code} before it began") from None


def _meet(ranks: Ranks, device: str, meeting: Path) -> None:
    store = distributed.FileStore(str(meeting), ranks.count)
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.count, timeout=_CONNECTING)


def _beside(
    ranks: Ranks, device: str, meeting: str, sender: Connection, function: Callable[..., None], arguments: Any
) -> None:
    """Body of another process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first one ends it
    os.environ["CLEP_PROGRESS"] = "0"
    try:
        sender.send("there")
        _meet(ranks, device, Path(meeting))
        function(ranks, *arguments)
        distributed.barrier()
    except Exception as error:
        told = error if isinstance(error, ClepError) else ClepError(f"{type(error).__name__}: {error}")
        with suppress(OSError):
            sender.send(type(told)(str(told)))
        os._exit(1)  # the end of the connection tells the others


def _last_word(others: Sequence[tuple[Connection, Any]]) -> ClepError | None:
    """The error that another process has sent, if one has."""
    for receiver, _ in others:
        with suppress(EOFError, OSError):
            if receiver.poll(_LAST_WORD_SECONDS):
                error: ClepError = receiver.recv()
                return error
    return None
