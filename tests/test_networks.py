"""Any module as a network: what is refused before it is trained, and what its weights depend on."""

import pytest
import torch
from torch import nn

import clep
from clep import networks
from clep.errors import ConfigError, NetworkError
from tests.oracles.foreign import MLP, conv

SHAPE = {"input_shape": (1, 8, 8), "classes": 10}


def refusal(model, **changes):
    with pytest.raises(ConfigError) as caught:
        networks.make(model, **SHAPE | changes)
    return str(caught.value)


def equal(one, other):
    return all(torch.equal(p, q) for p, q in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("model", [MLP, conv])
def test_weights_depend_on_the_seed_alone_and_nobody_elses_draws_change(model):
    torch.manual_seed(1)
    first = networks.make(model, **SHAPE, seed=3)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    assert equal(networks.make(model, **SHAPE, seed=3), first)
    assert not equal(networks.make(model, **SHAPE, seed=4), first)


def test_it_is_tried_without_changing_what_it_learns_from_batches():
    network = networks.make(MLP, **SHAPE)
    assert network.training
    assert all(part.training for part in network.modules())
    assert int(network.layers[2].num_batches_tracked) == 0


def test_parts_that_its_constructor_froze_stay_frozen():
    def frozen(*, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64).eval(), nn.Linear(64, classes))

    network = networks.make(frozen, **SHAPE)
    assert [part.training for part in network] == [True, False, True]


def test_a_constructor_is_told_the_shape_the_classes_and_the_seed_if_it_names_them():
    told = {}

    def telling(*, input_shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        told.update(input_shape=input_shape, classes=classes, seed=seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

    networks.make(telling, **SHAPE, seed=7)
    assert told == {"input_shape": (1, 8, 8), "classes": 10, "seed": 7}


def fails(*, classes: int) -> nn.Module:
    raise RuntimeError("no weights today")


def wants(*, width: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


def untyped(*, width, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (MLP, {"options": {"widht": 3}}, ["network.options.widht: unknown key `widht`; did you mean `width`?"]),
        (MLP, {"options": {"width": "wide"}}, ["network.options.width: expected an integer, got 'wide'"]),
        (MLP, {"options": {"classes": 3}}, ["network.options.classes: clep sets it", "leave it out"]),
        (wants, {}, ["network.options.width: a value is required"]),
        (untyped, {"options": {"width": 3}}, ["network.options.width: untyped gives it neither a type nor a default"]),
        (
            fails,
            {},
            ["network.model: fails cannot be made", "test_networks.py, line", "RuntimeError: no weights today"],
        ),
        (lambda: nn.Flatten(), {}, ["network.model: ", "returns a tensor (2, 64)", "(2, 10): one output for each"]),
        (lambda: nn.LSTM(8, 10), {"input_shape": (8, 8)}, ["returns a tuple", "expected a tensor (2, 10)"]),
        (lambda: nn.Linear(9, 10), {}, ["fails on a batch of 2 inputs of shape (1, 8, 8)", "RuntimeError: "]),
        (lambda: nn.AvgPool1d(2), {"input_shape": (20,)}, ["has no parameter to learn"]),
        (lambda: 3, {}, ["makes a int, expected a `torch.nn.Module`"]),
        ("math:pi", {}, ["network.model: `math:pi` is a float, expected a class derived from `torch.nn.Module`"]),
        ("fractions:Fraction", {}, ["`fractions:Fraction` is the class Fraction, expected a class derived"]),
        ("torch.nn:Lniear", {}, ["network.model: cannot import `torch.nn:Lniear`", "did you mean `Linear`?"]),
        ("no_such", {}, ["network.model: unknown network `no_such`", "Valid networks: equilibrium, feedforward"]),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(model, changes, words):
    message = refusal(model, **changes)
    assert all(word in message for word in words), message
    assert message.startswith("network.")


class Moody(nn.Module):
    """Works in evaluation alone."""

    def __init__(self, *, classes: int):
        super().__init__()
        self.layer = nn.Linear(64, classes)

    def forward(self, x):
        if self.training:
            raise RuntimeError("not today")
        return self.layer(x.flatten(1))


def test_a_network_that_fails_in_training_is_named_with_the_line_of_its_own_code():
    learner = clep.Learner({"model": Moody, **SHAPE})
    with pytest.raises(NetworkError) as caught:
        learner.predict(torch.rand(3, 1, 8, 8))
    assert str(caught.value).startswith(f"network: Moody failed on a batch (3, 1, 8, 8) ({__file__}, line ")
    assert str(caught.value).endswith("): RuntimeError: not today")
