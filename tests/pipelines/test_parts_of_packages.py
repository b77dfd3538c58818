"""Parts that an installed package registers, one of each kind, in whole runs."""

import importlib
import sys
from functools import partial

import numpy as np
import pytest
import torch
from clep.pipelines import tune

import clep
from clep import tracking
from clep.build import build_training, cell_tags, identity, resolved
from clep.comparison.stored import config_of
from clep.config import cells_of, compose
from clep.errors import ConfigError, UnusedWarning
from clep.identity import Identity
from clep.search.spaces import check_ends
from tests.oracles.foreign import GROUPS, SOURCE
from tests.oracles.packages import install, remove
from tests.oracles.stores import empty_store

TINY = ["stream.samples_per_experience=32", "stream.experiences=2", "learner.epochs=1", "learner.lr=0.05"]
SHAPE = {"input_shape": (1, 8, 8), "classes": 10}
NETWORKS = ["dream_mlp", "dream_conv", "dream_rows", "dream_attention"]
PARTS = {
    "neuron": ["network.neuron=leaky", "network.neuron_options.slope=0.3"],
    "connection": ["network.connection=shrunk", "network.connection_options.factor=0.25"],
    "cost": ["learner.loss=power", "learner.loss_options.exponent=2"],
    "gradient": ["learner.gradient=scaled", "learner.gradient_options.factor=3.0"],
}


@pytest.fixture
def dreams(tmp_path, monkeypatch):
    """A package that is installed; the result takes it away."""
    install(tmp_path, monkeypatch, "dreams", SOURCE, **GROUPS)
    return partial(remove, tmp_path, monkeypatch, "dreams")


@pytest.fixture
def own_networks(tmp_path, monkeypatch):
    """The same in a module that no package registers."""
    (tmp_path / "own_networks.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_networks")
    del sys.modules["own_networks"]


@pytest.fixture(scope="module")
def two_experiences():
    return clep.stream("digits", experiences=2, samples_per_experience=32)


@pytest.fixture
def store(tmp_path):
    return [f"tracking.uri={empty_store(tmp_path)}"]


def weights_of(training):
    return {name: value.clone() for name, value in training.template.model.state_dict().items()}


@pytest.mark.parametrize("strategies", ["naive", "[awake_rehearsal,ewc]"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_of_any_kind_trains_with_strategies_of_avalanche_and_of_clep(
    network, strategies, dreams, two_experiences
):
    """Dropout and batch norm among them: one seed, one result, and every weight has moved."""
    more = ["strategy.ewc.ewc_lambda=1.0"] if "ewc" in strategies else []
    config = compose(
        None, [*TINY, f"network={network}", f"strategies={strategies}", "learner.loss=cross_entropy", *more]
    )
    stream = two_experiences
    found = []
    for _ in range(2):
        training = build_training(config, stream)
        before = weights_of(training)
        matrix = training.run(stream).matrix
        found.append((weights_of(training), matrix))
        assert all(not torch.equal(p, before[name]) for name, p in training.template.model.named_parameters())
    (first, one), (second, other) = found
    assert np.array_equal(one, other)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_of_it_is_recorded_by_name_and_its_learner_comes_back(dreams, store):
    result = clep.run(None, [*TINY, *store, "network=dream_mlp", "network.options.width=12"])
    run = tracking.run_of(result.tracking_uri, result.run_id)
    assert (run.tags["network"], run.params["network.options.width"]) == ("dream_mlp", "12")
    assert run.params["network.options.dropout"] == "0.1"
    assert "dreams-1.0+" in Identity.from_tags(run.tags).plugins
    learner = clep.load(result.run_id, tracking_uri=result.tracking_uri)
    assert learner.network.layers[1].out_features == 12
    with tracking.artifacts(result.tracking_uri, result.run_id, "model/requirements.txt") as path:
        assert "dreams==1.0" in path.read_text().split()
    again = clep.run(compose(config_of(result.tracking_uri, run)))
    assert again.accuracy_matrix == result.accuracy_matrix
    dreams()
    with pytest.raises(ConfigError) as caught:
        clep.load(result.run_id, tracking_uri=result.tracking_uri)
    assert "network.model: unknown network `dream_mlp`" in str(caught.value)
    assert "(in the checkpoint, `dream_mlp` is of dreams 1.0)" in str(caught.value)


def test_a_learner_by_an_import_path_comes_back_from_a_file_with_what_makes_its_network(own_networks, tmp_path):
    arguments = {"model": own_networks.Rows, "options": {"units": 5}, "input_shape": (1, 8, 8), "classes": 10}
    learner, path = clep.Learner(arguments), tmp_path / "learner.ckpt"
    learner.save(path)
    x = torch.rand(3, 1, 8, 8)
    for way in ({"network": own_networks.Rows}, {"trust": True}, {"network": own_networks.Rows(**SHAPE, units=5)}):
        assert torch.equal(clep.load(path, **way)(x), learner(x))
    with pytest.raises(ConfigError, match=r"`own_networks:Rows` is not imported: .* pass `network=`"):
        clep.load(path)


@pytest.mark.parametrize("kind", PARTS)
def test_a_part_with_options_trains_and_comes_back_from_its_checkpoint(kind, dreams, tmp_path, two_experiences):
    config = resolved(compose(None, [*TINY, "network.hidden=[8]", *PARTS[kind]]))
    stream = two_experiences
    training = build_training(config, stream)
    training.run(stream)
    learner = training.template.learner
    learner.save(tmp_path / "learner.ckpt")
    loaded = clep.load(tmp_path / "learner.ckpt")
    told = {
        "neuron": lambda one: one.network.neuron(torch.tensor([-1.0])).item(),
        "connection": lambda one: type(one.network.connections[0]).__name__,
        "cost": lambda one: one.criterion.exponent,
        "gradient": lambda one: one.gradient.factor,
    }[kind]
    expected = {"neuron": pytest.approx(-0.3), "connection": "Shrunk", "cost": 2, "gradient": 3.0}[kind]
    assert told(learner) == told(loaded) == expected
    x = torch.rand(3, 64)
    assert torch.equal(loaded(x), learner(x))


def test_options_of_a_connection_are_used(dreams):
    largest = [
        clep.Network([64, 8, 10], connection="shrunk", connection_options={"factor": factor})
        .connections[0]
        .weight.max()
        for factor in (0.25, 0.5)
    ]
    assert largest[1] == 2.0 * largest[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["network=dream_mpl"], "network.name: unknown network `dream_mpl`; did you mean `dream_mlp`?"),
        (["network=dream_mlp", "network.options.widht=3"], "network.options.widht: unknown key `widht`; did you mean"),
        (["network.neuron=leaki"], "network.neuron: unknown neuron `leaki`; did you mean `leaky`?"),
        (["network.neuron=leaky", "network.neuron_options.slope=2.0"], "network.neuron_options.slope: expected a num"),
        (
            ["network.connection=shrunk", "network.connection_options.fcator=2"],
            "network.connection_options.fcator: unk",
        ),
        (
            ["learner.loss=power", "learner.loss_options.exponent=x"],
            "learner.loss_options.exponent: expected an integer",
        ),
        (["learner.loss=power", "learner.loss_options.reduction=sum"], "learner.loss_options.reduction: unknown key"),
        (["learner.gradient=scaled", "learner.gradient_options.fcator=2"], "learner.gradient_options.fcator: unknown"),
        (["learner.gradient=scaled", "learner.gradient_options.factor=x"], "learner.gradient_options.factor: expected"),
        (["network.hidden=[8]", "network=dream_mlp"], "network.hidden: [8] changes nothing: it acts only in a network"),
        (
            ["learner.beta=0.1", "network=dream_mlp"],
            "learner.beta: 0.1 changes nothing: it acts only in an equilibrium",
        ),
        (["learner.gradient=cost", "network=dream_mlp"], "learner.gradient: cost changes nothing: it acts only in an"),
        (
            ["strategies=sleep_replay", "network=dream_rows"],
            "network: no stack of dense layers was found in Rows; give",
        ),
        (["strategies=neuronal_adaptation", "network=dream_mlp"], "strategies: neuronal_adaptation acts on the second"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(changes, message, dreams, two_experiences):
    with pytest.raises(ConfigError) as caught:
        build_training(resolved(compose(None, changes)), two_experiences)
    assert str(caught.value).startswith(message)


def test_a_name_given_anew_leaves_the_options_of_the_former_behind(dreams):
    stored = compose(None, ["network=dream_mlp", "network.options.width=12", *PARTS["cost"]])
    other = compose(stored, ["network=ep", "learner.loss=mse"])
    assert (other.network.model, other.network.options, other.learner.loss_options) == ("equilibrium", {}, {})
    same = compose(stored, ["network.options.dropout=0.5"])
    assert same.network.options == {"width": 12, "dropout": 0.5}


def test_a_network_can_be_put_on_top_of_a_file_for_another(dreams, two_experiences):
    """What the file says about relaxation does not act, and is named."""
    with pytest.warns(UnusedWarning, match=r"learner\.gradient: cost changes nothing"):
        config = compose("mnist_conv", ["network=dream_conv"])
    assert type(build_training(resolved(config), two_experiences).template.model).__name__ == "Sequential"


def test_a_file_of_ones_own_names_a_network_with_its_options(dreams, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: dream_mlp\noptions: {width: 3}\nlearner: {lr: 0.2}\n")
    config = compose(None, ["network=mine.yaml", "network.options.dropout=0.2"])
    assert (config.network.name, config.network.options) == ("dream_mlp", {"width": 3, "dropout": 0.2})
    assert config.learner.lr == 0.2


def test_networks_and_their_options_are_axes_of_a_grid(dreams):
    grid = "grid={network: [dream_mlp], network.options.width: [4, 8], learner.loss: [mse, power]}"
    found = [
        (c.network.options["width"], c.learner.loss) for _, c in cells_of(compose(None, [grid, "strategies=naive"]))
    ]
    assert found == [(4, "mse"), (4, "power"), (8, "mse"), (8, "power")]


def test_defaults_of_a_part_are_kept_with_a_run_and_do_not_change_its_cell(dreams):
    plain, said = (resolved(compose(None, ["network=dream_mlp", *more])) for more in ([], ["network.options.width=16"]))
    assert plain.network.options == said.network.options == {"width": 16, "dropout": 0.1}
    assert identity(plain) == identity(said)
    assert cell_tags(plain) == cell_tags(said)
    wider = resolved(compose(None, ["network=dream_mlp", "network.options.width=17"]))
    assert identity(plain).changed(identity(wider)) == ["configuration"]


@pytest.mark.parametrize("changes", [["network=dream_mlp"], *PARTS.values()], ids=["network", *PARTS])
def test_the_code_of_every_kind_of_part_is_in_the_identity(changes, dreams):
    assert identity(resolved(compose(None, changes))).plugins.startswith("dreams_module=dreams-1.0+")


def test_a_network_trained_to_the_end_of_a_stop_is_that_of_a_run_that_was_not_stopped(
    dreams, tmp_path, two_experiences
):
    """Batch statistics and draws of dropout are part of a checkpoint."""
    stream = two_experiences
    config = compose(None, [*TINY, "network=dream_mlp"])
    whole, path = build_training(config, stream), tmp_path / "half.ckpt"
    whole.run(stream, lambda report, so_far: report.index == 0 and whole.save(path))
    resumed = build_training(config, stream)
    resumed.resume(path, stream)
    expected = weights_of(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(resumed).items())


def test_the_ends_of_a_range_of_an_option_are_tried_before_a_search(dreams):
    config = resolved(compose(None, ["network=dream_mlp"]))
    ends = list(check_ends({"network.options.width": {"low": 4, "high": 12}}, config))
    assert [end.network.options["width"] for end in ends] == [4, 12]


@pytest.mark.slow
def test_options_of_a_network_are_searched(dreams, store):
    space = "tune.space={network.options.width: {low: 4, high: 12}}"
    config = compose(None, [*TINY, *store, "network=dream_mlp", space, "tune.trials=1", "tune.seeds=[0]", "workers=1"])
    assert 4 <= tune.run(config).values["network.options.width"] <= 16  # the present value is tried first


@pytest.mark.slow
def test_workers_compare_them(dreams, store):
    cells = [{"set": [f"network={name}"]} for name in NETWORKS] + [{"set": PARTS["neuron"], "label": "leaky"}]
    comparison = clep.compare({"cells": cells, "controls": [], "seeds": [0, 1], "workers": 2}, [*TINY, *store])
    assert not comparison.failures
    assert {run.label for run in comparison.runs} == {*NETWORKS, "leaky"}
    alone = clep.run(None, [*TINY, *store, "network=dream_attention", "seed=1"])
    [among] = [run for run in comparison.runs if (run.label, run.seed) == ("dream_attention", 1)]
    assert alone.accuracy_matrix == among.accuracy_matrix
