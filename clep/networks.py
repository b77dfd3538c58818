"""Networks of other packages: any `torch.nn.Module`, made from plain values and tried before it is trained."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clep import parts
from clep.errors import ClepError, ConfigError, NetworkError
from clep.parameters import check_arguments, made, parameters
from clep.randomness import reproducible, seed_for

GIVEN = ("input_shape", "classes", "seed")
"""What a constructor that names them is told: the shape of one input, the number of classes, and a seed."""

Maker = Callable[..., Any]
"""A class of modules, or a function that makes one."""

_KEY, _OPTIONS = "network.model", "network.options"
_TRIED = 2  # inputs


def maker_of(model: str | Maker) -> Maker:
    """The class or function behind a name.

    Args:
        model: a registered name, an import path, or the class or function itself.

    Raises:
        ConfigError: for an unknown name, or one of something else.

    Example:
        >>> maker_of("torch.nn:Identity").__name__
        'Identity'
    """
    found = parts.find("network", model) if isinstance(model, str) else model
    is_other = isinstance(found, type) and not issubclass(found, nn.Module)
    if not callable(found) or isinstance(found, nn.Module) or is_other:
        what = f"the class {found.__name__}" if is_other else f"a {type(found).__name__}"
        raise ConfigError(
            f"{_KEY}: `{model}` is {what}, expected a class derived from `torch.nn.Module`, or a function that makes "
            "such a module"
        )
    maker: Maker = found
    return maker


def check_options(model: str | Maker, options: Mapping[str, Any]) -> None:
    """Refuse options that a network does not take, before it is made.

    Args:
        model: as in `maker_of`.
        options: parameter -> plain value.

    Raises:
        ConfigError: naming the option.

    Example:
        >>> from torch import nn
        >>> def mlp(*, width: int = 8) -> nn.Module: ...
        >>> check_options(mlp, {"widht": 3})
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: network.options.widht: unknown key `widht`; did you mean `width`? Valid keys: width
    """
    for name in options:
        if name in GIVEN:
            raise ConfigError(f"{_OPTIONS}.{name}: clep sets it, from the stream and the seed of the run; leave it out")
    try:
        check_arguments(maker_of(model), options, given=GIVEN)
    except ConfigError as error:
        key = str(error).partition(":")[0]
        raise error if key == _KEY else ConfigError(f"{_OPTIONS}.{error}") from error


def make(
    model: str | Maker,
    *,
    input_shape: Sequence[int],
    classes: int,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> nn.Module:
    """A network with initial weights, which depend on nothing but the arguments.

    What it draws from torch's, numpy's and Python's generators follows the seed, whether it takes `seed` or not.

    Args:
        model: as in `maker_of`; those of `GIVEN` that it names are passed to it.
        input_shape: of one input, without the batch.
        classes: number of outputs.
        options: its other parameters.
        seed: seeds the initial weights.

    Raises:
        ConfigError: if it cannot be made, fails on a batch, has nothing to learn, or has no output for each class.

    Example:
        >>> from torch import nn
        >>> def linear(*, classes: int, bias: bool = True) -> nn.Module:
        ...     return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes, bias=bias))
        >>> make(linear, input_shape=(1, 8, 8), classes=10, options={"bias": False})[1].weight.shape
        torch.Size([10, 64])
    """
    maker, shape = maker_of(model), tuple(input_shape)
    name = model if isinstance(model, str) else parts.name_of("network", model)
    check_options(maker, options or {})
    given = {key: value for key, value in zip(GIVEN, (shape, classes, seed), strict=True) if key in parameters(maker)}
    with reproducible(seed_for(seed, "network"), torch.get_num_threads()):
        module = made(maker, options or {}, key=_KEY, options_key=_OPTIONS, given=GIVEN, **given)
        if not isinstance(module, nn.Module):
            raise ConfigError(f"{_KEY}: `{name}` makes a {type(module).__name__}, expected a `torch.nn.Module`")
        output = _tried(module, name, shape)  # layers of lazy shapes draw their weights now
    if not (isinstance(output, Tensor) and output.shape == (_TRIED, classes)):
        what = f"a tensor {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise ConfigError(
            f"{_KEY}: `{name}` returns {what} for a batch of {_TRIED} inputs of shape {shape}, expected a tensor "
            f"{(_TRIED, classes)}: one output for each class"
        )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ConfigError(f"{_KEY}: `{name}` has no parameter to learn; give it some that require gradients")
    return module


def description(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `make` as plain values, for a checkpoint; the seed is left out, since weights are state.

    Args:
        arguments: keywords of `make`.

    Example:
        >>> description({"model": "my_module:MLP", "input_shape": (1, 8, 8), "classes": 10, "seed": 3})
        {'model': 'my_module:MLP', 'options': {}, 'input_shape': [1, 8, 8], 'classes': 10}
    """
    model = arguments["model"]
    return {
        "model": model if isinstance(model, str) else parts.name_of("network", model),
        "options": dict(arguments.get("options") or {}),
        "input_shape": list(arguments["input_shape"]),
        "classes": arguments["classes"],
    }


def output_of(network: nn.Module, x: Tensor) -> Tensor:
    """The output of a module for a batch, in training.

    Args:
        network: the module.
        x: inputs, (B, ...).

    Raises:
        NetworkError: if it fails; the cause is its exception.

    Example:
        >>> import torch
        >>> output_of(torch.nn.Flatten(), torch.zeros(3, 2, 2)).shape
        torch.Size([3, 4])
    """
    try:
        output: Tensor = network(x)
    except (ClepError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise NetworkError(
            f"network: {type(network).__name__} failed on a batch {tuple(x.shape)}{_place(error)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return output


@torch.no_grad()
def _tried(module: nn.Module, name: str, shape: tuple[int, ...]) -> Any:
    """The output for a batch, in evaluation mode, so that no statistics of batches change."""
    modes = {part: part.training for part in module.modules()}
    try:
        return module.eval()(torch.zeros(_TRIED, *shape))
    except Exception as error:
        raise ConfigError(
            f"{_KEY}: `{name}` fails on a batch of {_TRIED} inputs of shape {shape}{_place(error)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        for part, was_training in modes.items():
            part.training = was_training


def _place(error: BaseException) -> str:
    """The innermost line outside torch below the caller, in brackets; empty if there is none."""
    torch_itself = str(Path(torch.__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if not frame.filename.startswith(torch_itself)]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
