"""What a strategy works in: each gradient estimate, other strategies, plain Avalanche, a GPU."""

import re
from itertools import pairwise
from typing import Any

import torch
from avalanche.training import Naive
from torch import Tensor, nn

from clep import registry
from clep.bridge import LightningTemplate
from clep.equilibrium import Network
from clep.errors import ClepError
from clep.learner import Learner
from clep.randomness import reproducible
from clep.strategy import refusals
from clep.testing.reproducing import different
from clep.testing.runs import BATCH, EPOCHS, Weights, digits, quiet, refusal, state_of, train
from clep.testing.subject import CheckFailed, NotApplicable, Subject

PARTNERS: dict[str, dict[str, Any]] = {
    "awake_rehearsal": {"memory_size": 12},
    "sleep_replay": {},
    "neuronal_adaptation": {},
    "ewc": {"ewc_lambda": 1.0},
}
"""Built-in strategies that others are combined with, and their parameters: one of each kind, quick enough."""

_REFUSAL = re.compile(r"[a-z_]+(\.[\w:.\[\]]+)*: \S")  # a key, then what is wrong


def check_gradient(subject: Subject, rule: str) -> str | None:
    """It trains with a gradient estimate, or clep refuses it before anything is trained, naming the key to change.

    Args:
        subject: the strategy.
        rule: one of `clep.testing.runs.RULES`.

    Returns:
        Why it is refused; None if it trains.

    Raises:
        CheckFailed: if it fails in training, or the refusal does not begin with a key.

    Example:
        >>> from clep.testing import Subject
        >>> check_gradient(Subject("neuronal_adaptation"), "feedforward").partition(":")[0]
        'refused'
    """
    if (reason := refusal(lambda: [subject.made()], rule)) is not None:
        return _stated(reason)
    try:
        run = train(lambda: [subject.made()], rule, digits(2))
    except ClepError as error:
        raise CheckFailed(f"it is not refused, and then fails: {error}; say in `refuses` what it cannot do") from error
    if (name := _not_finite(run.weights[-1])) is not None:
        raise CheckFailed(f"it is not refused, and `{name}` holds values that are not finite after training")
    if getattr(subject.made(), "trains", True) and different(run.start, run.weights[-1]) is None:
        raise CheckFailed("nothing is learned: the weights are those of the start; say in `refuses` what it cannot do")
    return None


def check_composition(subject: Subject, partner: str) -> str | None:
    """It trains beside a built-in strategy, first and second, or the set is refused before anything is trained.

    Args:
        subject: the strategy.
        partner: one of `PARTNERS`.

    Returns:
        Why it is refused, if it is.

    Raises:
        CheckFailed: if it fails in training, or the refusal does not begin with a key.

    Example:
        >>> from clep.testing import Subject
        >>> check_composition(Subject("awake_rehearsal"), "ewc")
    """
    if subject.is_said("stands_alone"):
        raise NotApplicable("it declares to stand alone (`stands_alone`)")
    if partner == subject.name:
        raise NotApplicable("it is this strategy")
    refused = None
    for first in (True, False):

        def make(first: bool = first) -> list[Any]:
            (other,) = registry.build([partner], {partner: PARTNERS[partner]})
            return [subject.made(), other] if first else [other, subject.made()]

        if (reason := refusal(make, subject.rule)) is not None:
            refused = _stated(reason)
            continue
        order = f"{'before' if first else 'after'} {partner}"
        try:
            run = train(make, subject.rule, digits(2))
        except ClepError as error:
            raise CheckFailed(f"{order} it fails: {error}") from error
        if (name := _not_finite(run.weights[-1])) is not None:
            raise CheckFailed(f"{order} `{name}` holds values that are not finite after training")
    return refused


def check_avalanche(subject: Subject) -> None:
    """Inside a plain Avalanche `Naive` it gives the weights that it gives in clep, to the bit.

    Args:
        subject: the strategy.

    Raises:
        CheckFailed: if it fails there, or the weights differ.
        NotApplicable: if it learns all experiences at once, which plain Avalanche knows nothing of.

    Example:
        >>> from clep.testing import Subject
        >>> check_avalanche(Subject("awake_rehearsal"))
    """
    if subject.is_said("trains_jointly"):
        raise NotApplicable("it learns all experiences at once, which `Naive` knows nothing of")
    try:
        with quiet(), reproducible(0, threads=1):
            plain = _in_avalanche(subject)
    except Exception as error:
        raise CheckFailed(f"inside a plain Avalanche `Naive` it fails: {type(error).__name__}: {error}") from error
    with quiet(), reproducible(0, threads=1):
        bridged = _in_clep(subject)
    if (name := different(plain, bridged)) is not None:
        raise CheckFailed(
            f"inside a plain Avalanche `Naive` the weights are others than in clep, in `{name}`; use what both have: "
            "`strategy.mb_x`, `mb_y`, `mb_output`, `loss`, `model`, `optimizer`, `experience`"
        )


def check_device(subject: Subject) -> None:
    """It trains on a GPU: what it keeps meets the network where that is.

    Args:
        subject: the strategy.

    Raises:
        CheckFailed: if it fails there, or keeps other amounts than on the CPU.
        NotApplicable: if there is no GPU.
    """
    if not torch.cuda.is_available():
        raise NotApplicable("torch finds no CUDA device here")
    try:
        run = train(lambda: [subject.made()], subject.rule, digits(), device="cuda")
    except ClepError as error:
        raise CheckFailed(
            f"on a GPU it fails: {error}; make tensors on `strategy.device`, or with `torch.zeros_like`"
        ) from error
    if (name := _not_finite(run.weights[-1])) is not None:
        raise CheckFailed(f"on a GPU `{name}` holds values that are not finite after training")
    if run.declared[-1] != subject.reference.declared[-1]:
        raise CheckFailed(
            f"on a GPU it keeps {run.declared[-1]}, and on the CPU {subject.reference.declared[-1]}; expected the same"
        )


def _stated(reason: str) -> str:
    if not _REFUSAL.match(reason):
        raise CheckFailed(
            f"the refusal `{reason}` does not begin with the key to change, as in `learner.gradient: ...`"
        )
    return f"refused: {reason}"


def _not_finite(weights: Weights) -> str | None:
    return next((name for name, value in weights.items() if not torch.isfinite(value).all()), None)


def _model(subject: Subject) -> tuple[nn.Module, str]:
    """A model of plain torch if the strategy takes it, otherwise an equilibrium network; and a loss that fits."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Flatten()]
    for below, above in pairwise([64, 8, 10]):
        layers += [nn.Linear(below, above), nn.ReLU()]
    mlp = nn.Sequential(*layers[:-1])
    if any(True for _ in refusals([subject.made()], Learner(mlp), BATCH)):
        return Network([64, 8, 10]), "mse"
    return mlp, "cross_entropy"


def _in_avalanche(subject: Subject) -> Weights:
    model, loss = _model(subject)
    template = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        criterion=Learner(Network([64, 8, 10]), loss=loss).criterion,
        train_mb_size=BATCH,
        train_epochs=EPOCHS,
        plugins=[subject.made()],
        evaluator=None,
    )
    return _learned(template)


def _in_clep(subject: Subject) -> Weights:
    model, loss = _model(subject)
    learner = Learner(model, lr=0.1, momentum=0.9, loss=loss)
    template = LightningTemplate(learner=learner, plugins=[subject.made()], epochs=EPOCHS, batch_size=BATCH)
    template.samples = digits(2).samples
    return _learned(template)


def _learned(template: Any) -> dict[str, Tensor]:
    torch.manual_seed(1)  # of the batches; what the constructors draw is their own business
    for experience in digits(2).benchmark.train_stream:
        template.train(experience, eval_streams=[], reset_optimizer_state=True)
    return state_of(template.model)
