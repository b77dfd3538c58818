"""How a member of a population trains on an experience: the events of Avalanche, and updates that the crew computes."""

import math
from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins.clock import Clock
from torch import Tensor, nn

from clep import interrupts, optimizers
from clep.bridge import BETWEEN, LightningTemplate
from clep.equilibrium import Network
from clep.measuring import Measuring
from clep.population.admission import kind, unchanged
from clep.population.asking import Answer, Request, Seat
from clep.population.course import Course, edition
from clep.population.descent import descends
from clep.streams.samples import chunked

_AROUND = ("before_training_iteration", "after_backward", "before_update", "after_update", "after_training_iteration")
_EVERY = (*BETWEEN, *_AROUND)
_ONLY_COUNTING = Measuring, Clock
"""Plug-ins that look at updates only to count or to measure them."""
_SAMPLES = 1024  # that are fetched at a time, at most


class Member:
    """Trains a template's learner on each experience, in step with the others of its crew.

    It fires the events in the order of `clep.bridge`. Whatever has no part in an update of all (evaluation,
    consolidation, other passes through the model) is the member's own work.

    Args:
        seat: its place in the crew.
    """

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._known: tuple[nn.Module, Hashable | None] | None = None

    def __call__(self, template: LightningTemplate) -> None:
        """Train on the batches of the template's experience."""
        learner, optimizer = template.learner, template.optimizer
        schedule = learner.make_schedule(optimizer, template.train_epochs)
        for epoch in range(template.first_epoch, template.train_epochs):
            template.on_epoch(epoch, schedule)
            template._before_training_epoch()
            of = None if template._stop_training else self._alone_with_its_batches(template)
            if of is not None:
                self._in_a_row(template, of, f"{template.describe_experience()}, epoch {epoch}")
            else:
                self._one_by_one(template, f"{template.describe_experience()}, epoch {epoch}")
            # A sum is finite only if all its terms are; it takes a tenth of the time.
            if not math.isfinite(float(sum(p.detach().sum() for p in template.model.parameters()))):
                learner.check_finite(None, f"{template.describe_experience()}, end of epoch {epoch}")
            template._after_training_epoch()
            if schedule is not None:
                schedule.step()
            if template._stop_training:
                break

    def _alone_with_its_batches(self, template: LightningTemplate) -> Hashable | None:
        """The kind of the updates, if nothing but the crew acts on them; None if there is more to an update."""
        of = self._kind(template)
        if of is None or template.dataloader is not template.made_loader:
            return None
        acting = (plugin for hook in _EVERY for plugin in template._watch._with(hook))
        if not all(type(plugin) in _ONLY_COUNTING for plugin in acting):
            return None
        network: Any = template.learner.network
        every = list(network.parameters())
        learned = len(list(_stacked(network))) == len(every) and all(p.requires_grad for p in every)
        return of if learned and descends(template.optimizer, every) else None

    def _in_a_row(self, template: LightningTemplate, of: Hashable, where: str) -> None:
        """All updates of an epoch, without a turn of this member in between."""
        learner, network, size = template.learner, template.learner.network, template.train_mb_size
        assert isinstance(network, Network)
        done = 0
        for x, y, *_ in chunked(template.dataloader, max(1, _SAMPLES // size) * size):
            inputs, labels = network.shaped(x.to(template.device)).split(size), y.to(template.device).split(size)
            course = Course(
                of,
                edition(network),
                network,
                learner.gradient,
                learner.criterion,
                inputs,
                labels,
                template.optimizer,
                template.trainer_arguments.get("gradient_clip_val"),
            )
            self._seat.ask(course)
            for free in course.settled():
                learner.unsettled.look(free)
            self._show(template, course)
            if not course.finite:
                learner.check_finite(course.loss, f"{where}, batch {done + len(course.notes)}")
            done += len(course.notes)

    def _show(self, template: LightningTemplate, course: Course) -> None:
        """Leave the template as the last update leaves it, and count the updates."""
        last = max(0, len(course.notes) - 1)
        x, y = course.inputs[last], course.labels[last]
        template.mbatch = [x, y, torch.zeros_like(y)]
        template.mb_output, template.loss = course.output, course.loss
        for parameter, gradient in zip(_stacked(template.learner.network), course.gradients, strict=False):
            parameter.grad = gradient
        for plugin in template._watch._with("after_training_iteration"):
            if isinstance(plugin, Measuring):
                plugin.note([note[0] for note in course.notes], [note[1] for note in course.notes])
            elif isinstance(plugin, Clock):
                for _ in course.notes:
                    plugin.after_training_iteration(template)

    def _one_by_one(self, template: LightningTemplate, where: str) -> None:
        """The updates of an epoch, with everything that happens around each."""
        hooked = any(_has(plugin, hook) for plugin in template.plugins for hook in BETWEEN)
        for number, batch in enumerate(template.batches()):
            if template._stop_training:
                break
            self._step(template, batch, f"{where}, batch {number}", hooked=hooked)

    def _step(self, template: LightningTemplate, batch: Any, where: str, *, hooked: bool) -> None:
        """One update."""
        template.mbatch = batch
        template._unpack_minibatch()
        template._watch.fire("before_training_iteration")
        optimizers.forget_gradients(template.optimizer)
        template.loss = template._make_empty_loss()
        interrupts.check()
        of = self._kind(template)
        if of is None:
            template.learner.step(template, where).backward(retain_graph=template.retain_graph)
        elif hooked:
            self._in_two_parts(template, of, where)
        else:
            self._whole(template, of, where)
        template.at("after_backward")
        template.at("before_update")
        clip = template.trainer_arguments.get("gradient_clip_val")
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(template.model.parameters(), clip)
        optimizers.step(template.optimizer)
        template.at("after_update")
        template._after_training_iteration()

    def _kind(self, template: LightningTemplate) -> Hashable | None:
        network = template.learner.network
        if self._known is None or self._known[0] is not network:
            self._known = network, kind(template.learner)
        return self._known[1] if self._known[1] is not None and unchanged(network) else None

    def _request(self, template: LightningTemplate, of: Hashable, y: Tensor | None) -> Request:
        learner, network = template.learner, template.learner.network
        assert isinstance(network, Network)
        x = network.shaped(template.mb_x)
        return Request(of, edition(network), network, learner.gradient, learner.criterion, x, y)

    def _whole(self, template: LightningTemplate, of: Hashable, where: str) -> None:
        """The crew computes the loss, too: nothing acts on it."""
        learner = template.learner
        answer: Answer = self._seat.ask(self._request(template, of, template.mb_y))
        losses, n = answer.losses, len(template.mb_y)
        assert losses is not None
        self._look(template, answer)
        template.mb_output = losses.output[answer.index, :n]
        template.loss = losses.output.new_tensor(losses.loss[answer.index])
        learner.check_finite(template.loss, where)
        self._deliver(template, answer)
        readout: Any = learner.network.readout
        for parameter, gradient in zip([] if readout is None else readout.parameters(), losses.on_readout, strict=True):
            parameter.grad = gradient[answer.index]

    def _in_two_parts(self, template: LightningTemplate, of: Hashable, where: str) -> None:
        """Strategies see the output and change the loss; then the crew nudges by its gradient for the last states."""
        learner = template.learner
        template.at("before_forward")
        answer: Answer = self._seat.ask(self._request(template, of, None))
        self._look(template, answer)
        leaf = answer.phases.output(answer.index).clone(memory_format=torch.contiguous_format).requires_grad_()
        template.mb_output = replace(answer.phases.free.body, readout=learner.network.readout).read_out(leaf)  # type: ignore[arg-type]
        template.at("after_forward")
        template.loss = template.loss + learner.criterion(template.mb_output, template.mb_y)
        template.at("before_backward")
        learner.check_finite(template.loss, where)
        template.loss.backward(retain_graph=template.retain_graph)
        incoming = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        self._deliver(template, self._seat.ask(incoming))

    def _look(self, template: LightningTemplate, answer: Answer) -> None:
        template.learner.unsettled.look(answer.phases.settled(answer.index))

    def _deliver(self, template: LightningTemplate, answer: Answer) -> None:
        """Add the estimates to the gradients of the connections' parameters."""
        own = _connected(template.learner.network)
        assert answer.gradients is not None
        for parameter, gradients in zip(own, answer.gradients, strict=True):
            gradient = gradients[answer.index]
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _connected(network: Any) -> Iterator[nn.Parameter]:
    """The parameters of the connections."""
    return (p for connection in network.connections for p in connection._parameters.values() if p is not None)


def _stacked(network: Any) -> Iterator[nn.Parameter]:
    """What is stacked of a network, in the order of `Stack.rows`."""
    yield from _connected(network)
    if network.readout is not None:
        yield from network.readout.parameters()


def _has(plugin: Any, hook: str) -> bool:
    """Whether a plug-in does anything in a hook."""
    return getattr(type(plugin), hook, None) not in (None, getattr(SupervisedPlugin, hook))
