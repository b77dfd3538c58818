"""Whether strategies do in a training iteration only what they declare: looked at while it runs.

Only hooks of strategies that declare to do less than everything are looked at. What the gradient estimate does not
support would give a wrong number, and is an error. What it supports gives the right one, and the declaration is wrong:
a warning.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from avalanche.core import BasePlugin, SupervisedPlugin
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates.base_sgd import PeriodicEval
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from clep.capabilities import capabilities
from clep.checks import shown
from clep.errors import DeclarationWarning, StrategyError
from clep.specs.capabilities import EVERY, Capability

_WITH_OUTPUT = ("after_forward", "before_backward")
_HOOKS = ("before_training_iteration", "before_forward", *_WITH_OUTPUT, "after_backward", "before_update")
_PARTS: dict[str, type] = {"model": nn.Module, "mb_output": Tensor, "loss": Tensor}
"""Attributes of a template that training cannot do without; `Watch._parts` reads them."""
_Hidden = frozenset[Capability]


class Watch:
    """Calls the hooks of an iteration, and names each strategy that does in one what it does not declare.

    Args:
        template: the training template: `plugins`, `loss`, `mb_output`, `model` and `learner`.
    """

    def __init__(self, template: Any) -> None:
        self._template = template
        self._known: dict[int, tuple[BasePlugin, _Hidden]] = {}
        self._told: set[tuple[int, Capability]] = set()
        self._changed: dict[str, str] = {}
        self._plugins: list[BasePlugin] = []
        self._acting: dict[str, list[BasePlugin]] = {}
        self._model: Any = None
        self._parameters: list[Tensor] = []

    def fire(self, event: str) -> None:
        """Call the hook of this name of every plug-in, in their order.

        Args:
            event: `before_forward`, ...

        Raises:
            StrategyError: if a strategy does what it does not declare and the gradient estimate does not support.
        """
        for p in self._with(event):
            before = self._parts()
            if event in _HOOKS and (hidden := self._hidden(p)):
                with self._looking(p, event, hidden):
                    getattr(p, event)(self._template)
            else:
                getattr(p, event)(self._template)
            for name, was, value in zip(_PARTS, before, self._parts(), strict=True):
                if was is not value:
                    self._changed[name] = f"{type(p).__name__}.{event}"

    def begin(self) -> None:
        """Look anew at which hooks the plug-ins have, as at the beginning of an experience."""
        self._plugins, self._acting = list(self._template.plugins), {}

    def _with(self, event: str) -> list[BasePlugin]:
        """The plug-ins with a hook of this name that does something, in their order."""
        if self._plugins != self._template.plugins:
            self.begin()
        if event not in self._acting:
            self._acting[event] = [plugin for plugin in self._plugins if _acts(plugin, event)]
        return self._acting[event]

    def damage(self) -> str | None:
        """Which part of the template is not what training needs, and who changed it last; None if all are.

        It explains an error that no plug-in has raised itself.
        """
        for (name, kind), value in zip(_PARTS.items(), self._parts(), strict=True):
            if name in self._changed and not isinstance(value, kind):
                return f"{self._changed[name]} has put {shown(value)} in the place of `strategy.{name}`"
        return None

    def _parts(self) -> tuple[Any, ...]:
        get = self._template.__dict__.get
        return get("model"), get("mb_output"), get("loss")

    def _hidden(self, plugin: BasePlugin) -> _Hidden:
        """What a plug-in says that it does not do."""
        known = self._known.get(id(plugin))
        if known is None or known[0] is not plugin:  # after unpickling, an id may be that of another one
            known = self._known[id(plugin)] = plugin, EVERY - capabilities(plugin)
        return known[1]

    @contextmanager
    def _looking(self, plugin: BasePlugin, event: str, hidden: _Hidden) -> Iterator[None]:
        template = self._template
        output, loss, gradients = template.mb_output, template.loss, self._gradients()
        version, shown = loss._version, output

        def differentiates(what: str) -> None:
            self._tell(plugin, event, what, "differentiates_outputs")

        watches_outputs = "differentiates_outputs" in hidden
        if watches_outputs and event in _WITH_OUTPUT:
            shown = template.mb_output = self._noted(output, lambda: differentiates("differentiates `mb_output`"))
        edition = None if shown is None else shown._version
        called = self._calls(lambda: differentiates("differentiates outputs of the model"))
        with called if watches_outputs else nullcontext():
            yield
        if template.mb_output is shown and (shown is None or shown._version == edition):
            template.mb_output = output
        elif watches_outputs and event == "after_forward":
            differentiates("changes `mb_output`")
        if event == "before_training_iteration":  # the loss starts anew after it, and gradients from zero
            return
        changed = template.loss is not loss or loss._version != version
        if changed and {"adds_penalty", "differentiates_outputs"} <= hidden:
            self._tell(plugin, event, "changes the loss", "adds_penalty")
        if "uses_gradients" in hidden and not _same(gradients, self._gradients()):
            self._tell(plugin, event, "changes gradients", "uses_gradients")

    def _gradients(self) -> list[tuple[Tensor | None, int]]:
        if self._model is not self._template.model:
            self._model, self._parameters = self._template.model, list(self._template.model.parameters())
        gradients = [parameter.grad for parameter in self._parameters]
        return [(gradient, -1 if gradient is None else gradient._version) for gradient in gradients]

    @contextmanager
    def _calls(self, note: Callable[[], None]) -> Iterator[None]:
        """Note when an output of the model that is computed in here is differentiated."""

        def look(module: Any, inputs: Any, output: Any) -> Any:
            called = module is self._template.model and torch.is_grad_enabled() and isinstance(output, Tensor)
            return self._noted(output, note) if called else None

        handle = register_module_forward_hook(look)
        try:
            yield
        finally:
            handle.remove()

    def _noted(self, output: Tensor, note: Callable[[], None]) -> Tensor:
        """The same output; when it is differentiated, `note` is called."""
        supported = "differentiates_outputs" in self._template.learner.gradient.supports
        if supported and not output.requires_grad:
            return output  # nobody can
        noted: Tensor = _Noted.apply(output, torch.zeros((), requires_grad=True), note)
        return noted

    def _tell(self, plugin: BasePlugin, event: str, what: str, capability: Capability) -> None:
        name, gradient = type(plugin).__name__, self._template.learner.gradient
        text = f"strategies: {name}.{event} {what}, and {name} does not declare `{capability} = True`"
        if capability not in gradient.supports:
            raise StrategyError(
                f"{text}; {type(gradient).__name__} does not support that, and the weights would be wrong. Declare it, "
                "and use learner.gradient=linear"
            )
        if (id(plugin), capability) not in self._told:
            self._told.add((id(plugin), capability))
            text += "; declare it, so that gradient estimates that do not support it are refused"
            warnings.warn(text, DeclarationWarning, stacklevel=3)


def _acts(plugin: BasePlugin, event: str) -> bool:
    """Whether a hook does anything: not those that Avalanche's class leaves empty, nor an evaluator of nothing."""
    if type(plugin) is EvaluationPlugin and not plugin.metrics and not plugin.loggers:
        return False
    if type(plugin) is PeriodicEval and plugin.eval_every <= 0:
        return False
    hook = getattr(plugin, event, None)
    return hook is not None and getattr(hook, "__func__", None) is not getattr(SupervisedPlugin, event)


class _Noted(torch.autograd.Function):
    """A copy of an output; its backward says so first. With the anchor, an output without a graph has one."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, anchor: Tensor, note: Callable[[], None]) -> Tensor:
        ctx.note = note
        return output.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        ctx.note()
        return gradient, None, None


def _same(before: list[tuple[Tensor | None, int]], after: list[tuple[Tensor | None, int]]) -> bool:
    pairs = zip(before, after, strict=False)
    return len(before) == len(after) and all(a is b and v == w for (a, v), (b, w) in pairs)
