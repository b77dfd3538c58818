"""What a network owes: one output for each class, weights from its seed, and answers that depend on the input alone."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from clep import networks
from clep.errors import ClepError, ConfigError
from clep.learner import Learner
from clep.randomness import reproducible
from clep.testing.part import Part
from clep.testing.reproducing import different
from clep.testing.runs import BATCH, EPOCHS, digits, quiet, state_of
from clep.testing.subject import CheckFailed
from clep.training import Training


def check_making(part: Part) -> None:
    """It is made for the shape of an input and a number of classes, and has an output for each class.

    Args:
        part: the network.

    Raises:
        CheckFailed: if it cannot be made.

    Example:
        >>> from clep.testing import Part
        >>> check_making(Part("network", "torch.nn:Identity"))
        Traceback (most recent call last):
            ...
        clep.testing.subject.CheckFailed: network.model: `torch.nn:Identity` returns a tensor (2, 1, 8, 8) for a ...
    """
    _made(part)


def check_initial_weights(part: Part) -> None:
    """The initial weights follow from the seed alone, whatever was drawn before.

    Args:
        part: the network.

    Raises:
        CheckFailed: if they do not.
    """
    first = state_of(_made(part, seed=3))
    with reproducible(9, threads=1):
        second = state_of(_made(part, seed=3))
    if (name := different(first, second)) is not None:
        raise CheckFailed(f"two networks of one seed differ, in `{name}`; draw from torch's generator or from `seed`")


def check_answers(part: Part) -> None:
    """In evaluation, the answer to an input depends neither on its batch nor on earlier ones, and nothing changes.

    Args:
        part: the network.

    Raises:
        CheckFailed: if not.
    """
    network, x = _made(part).eval(), digits().samples.x[:6]
    before = state_of(network)
    with torch.no_grad():
        whole, alone, again = _answer(network, x), _answer(network, x[:1]), _answer(network, x)
    if not torch.equal(whole, again):
        raise CheckFailed("the same batch has another answer the second time, in evaluation mode (`network.eval()`)")
    if not torch.allclose(whole[:1], alone, atol=1e-5):
        raise CheckFailed("the answer to an input depends on the batch that it is in, in evaluation mode")
    if (name := different(before, state_of(network))) is not None:
        raise CheckFailed(f"`{name}` changes in evaluation mode, and what was learned depends on what was measured")


def check_copies(part: Part) -> None:
    """A copy, and a network of another seed with the same state, give the same answers.

    Strategies that compare with an earlier network need the first, checkpoints the second.

    Args:
        part: the network.

    Raises:
        CheckFailed: if they do not, or there is no copy.
    """
    network, x = _made(part), digits().samples.x[:6]
    network(x).sum().backward()  # copies of networks that have learned are the harder ones
    try:
        copied = copy.deepcopy(network)
    except Exception as error:
        raise CheckFailed(f"it cannot be copied after a backward pass: {type(error).__name__}: {error}") from error
    other = _made(part, seed=4)
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        expected = _answer(network.eval(), x)
        for what, found in (("a copy", copied), ("a network with its `state_dict`", other)):
            if not torch.allclose(_answer(found.eval(), x), expected, atol=1e-6):
                raise CheckFailed(f"{what} gives other answers; keep what it learns in parameters and buffers")


def check_learning(part: Part) -> None:
    """It learns two experiences of digits: its weights change and stay finite.

    Args:
        part: the network.

    Raises:
        CheckFailed: if it fails, or the weights stay or are not finite.
    """
    arguments = {"model": part.name, "options": part.options, **_SHAPE, "seed": 0}
    try:
        with quiet(), reproducible(0, threads=1):
            learner = Learner(arguments, lr=0.01)
            start = state_of(learner.network)
            Training(learner, epochs=EPOCHS, batch_size=BATCH).run(digits(2))
    except ClepError as error:
        raise CheckFailed(f"it does not learn: {error}") from error
    end = state_of(learner.network)
    for name, parameter in learner.network.named_parameters():
        if parameter.requires_grad and torch.equal(start[name], end[name]):
            raise CheckFailed(f"`{name}` is not learned: it is what it was at the start; leave it out, or use it")
        if not torch.isfinite(end[name]).all():
            raise CheckFailed(f"`{name}` holds values that are not finite after training")


_SHAPE: dict[str, Any] = {"input_shape": (1, 8, 8), "classes": 10}


def _made(part: Part, seed: int = 0) -> nn.Module:
    try:
        return networks.make(part.name, **_SHAPE, options=part.options, seed=seed)
    except ConfigError as error:
        raise CheckFailed(str(error)) from error


def _answer(network: nn.Module, x: Tensor) -> Tensor:
    answer: Tensor = network(x)
    return answer
