"""What a learner refuses, and values that are not finite."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from clep import parts
from clep.equilibrium import (
    CEP,
    Backpropagation,
    Clamping,
    CostNudging,
    LinearNudging,
)
from clep.errors import ConfigError, DivergenceError
from clep.learner import Learner
from clep.specs.optimization import OPTIMIZERS, SCHEDULES
from tests.learner.builders import PLAIN, network, trainer


@pytest.mark.parametrize(
    ("make", "key", "words"),
    [
        (lambda: Learner(network(), loss="l2"), "loss", ["`l2`", *parts.own("cost"), "import path"]),
        (lambda: Learner(network(), optimizer="lbfgs"), "optimizer", ["`lbfgs`", *OPTIMIZERS]),
        (lambda: Learner(network(), schedule="linear"), "schedule", ["`linear`", *SCHEDULES]),
        (
            lambda: Learner(network(), gradient=CostNudging(), loss="cross_entropy"),
            "loss",
            ["`cross_entropy`", "network.readout=linear", "gradient=linear"],
        ),
        (
            lambda: Learner(network(readout="linear"), gradient=Clamping()),
            "gradient",
            ["`clamped`", "network.readout=state"],
        ),
        (lambda: Learner(network(), gradient=Clamping(), loss="cross_entropy"), "gradient", ["`clamped`", "loss=mse"]),
        (
            lambda: Learner(network(readout="linear"), gradient=CEP(), **PLAIN),
            "gradient",
            ["`cep`", "network.readout=state"],
        ),
        (
            lambda: Learner(network(precision="bfloat16"), gradient=Backpropagation()),
            "gradient",
            ["`bptt`", "network.precision=full"],
        ),
        (
            lambda: Learner(network(neuron="centered_hard_sigmoid"), gradient=Clamping()),
            "gradient",
            ["`clamped`", "network.neuron=centered_hard_sigmoid"],
        ),
        (lambda: Learner(network(), gradient=CEP()), "optimizer", ["`cep` (C-EP)", "momentum=0"]),
        (
            lambda: Learner(network(), gradient=LinearNudging(phases="holomorphic")),
            "phases",
            ["`holomorphic`", "network.neuron=hard_sigmoid", "tanh"],
        ),
        (lambda: Learner(network(), lr_scale=[1.0]), "lr_scale", ["2 layers", "got 1"]),
        (lambda: Learner(nn.Linear(4, 2), gradient=LinearNudging()), "gradient", ["`Network`", "got Linear"]),
        (lambda: Learner(nn.Linear(4, 2), lr_scale=[1.0]), "lr_scale", ["`Network`", "got Linear"]),
        (lambda: Learner(nn.Linear(4, 2), conv_lr_scale=0.0), "conv_lr_scale", ["`Network`", "got Linear"]),
        (lambda: Learner(None), "network", ["got NoneType"]),
        (lambda: Learner(network(), gradient="linear"), "gradient", ["`clep.equilibrium.Gradient` or None", "got str"]),
    ],
)
def test_bad_arguments_are_refused_with_their_name_and_what_is_allowed(make, key, words):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value).startswith(f"{key}: ")
    assert all(word in str(error.value) for word in words), error.value


def test_a_cosine_over_an_unknown_number_of_epochs_is_refused(digits):
    """Lightning calls it -1 epochs; a cosine over those would swing between `lr` and 0 at every epoch."""
    learner = Learner(network(), schedule="cosine")
    with pytest.raises(ConfigError, match=r"^schedule: `cosine` .* `max_epochs`$"):
        trainer(-1, max_steps=3).fit(learner, DataLoader(digits[0], batch_size=500))


@pytest.mark.parametrize("gradient", [LinearNudging(), CostNudging()])
def test_a_network_that_diverges_stops_training_and_names_the_layer(gradient, digits):
    """NaN compares as a wrong prediction: training would go on at chance level to the end."""
    learner = Learner(network(), gradient=gradient)
    with torch.no_grad():
        learner.network.connections[1].weight[0, 0] = math.nan
    message = r"diverged at epoch 0, batch 0: `connections\.1\.weight` .*learner\.lr or learner\.beta"
    with pytest.raises(DivergenceError, match=message):
        trainer().fit(learner, DataLoader(digits[0], batch_size=500))


def test_divergence_of_the_loss_or_of_the_parameters_alone():
    learner = Learner(network())
    learner.check_finite(torch.tensor(1.0), "here")
    learner.check_finite(None, "here")
    with pytest.raises(DivergenceError, match="diverged at here: the loss is inf"):
        learner.check_finite(torch.tensor(math.inf), "here")
    with torch.no_grad():
        learner.network.connections[0].bias[3] = math.inf
    with pytest.raises(DivergenceError, match=r"diverged at there: `connections\.0\.bias`"):
        learner.check_finite(None, "there")
