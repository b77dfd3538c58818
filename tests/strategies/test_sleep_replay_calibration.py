"""Sleep that calibrates itself, as a strategy: what ends it, what it keeps, what it warns of and what it refuses."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from clep.strategies.sleep_replay import SleepReplay

import clep
from clep.errors import ConfigError, InputWarning, SleepWarning
from clep.feedforward import Feedforward
from clep.renames import with_new_keys
from clep.sleep import Held, activity, waves
from clep.strategy import Memory
from tests.strategies.builders import awake, published


@pytest.fixture(scope="module")
def learned(digits):
    """The weights of a network that knows the last of three experiences."""
    network = awake()
    clep.Training(clep.Learner(network, lr=0.05, momentum=0.9), epochs=6).run(digits)
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture
def expert(learned):
    network = awake()
    network.load_state_dict(learned)
    return network


def last_of(stream):
    return stream.benchmark.train_stream[-1]


def held(stream, network):
    return Held.of(last_of(stream).dataset, network, torch.device("cpu"))


# what ends it


def test_it_takes_what_it_may_and_no_more(learned, digits, finish):
    """The share is checked from outside; without the check, sleep would take more here."""
    factors, latest = [], held(digits, awake()).y.unique()
    for keep in (0.97, 0.8, 0.1):
        network = awake()
        network.load_state_dict(learned)
        with torch.no_grad():  # so that units of older classes can answer
            network.connections[1].weight[~torch.isin(torch.arange(10), latest)] = 0.01
        plugin, before = SleepReplay(keep=keep), held(digits, network)
        plugin.seen.classes = set(range(10))
        assert before.before > 0.7
        log = finish(plugin, network, last_of(digits)).take_log()
        assert before.accuracy() >= keep * before.before
        factors.append(log["sleep/output_factor"])
    assert factors[0] >= factors[1] >= factors[2]
    assert factors[0] > factors[2]


def test_a_single_hidden_layer_only_loses_and_output_units_of_a_first_experience_stay(expert, learned, digits, finish):
    log = finish(SleepReplay(), expert, last_of(digits)).take_log()
    lower, upper = (connection.weight.detach() for connection in expert.connections)
    assert (lower <= learned["connections.0.weight"]).all()
    assert (lower < learned["connections.0.weight"]).any()
    assert torch.equal(upper, learned["connections.1.weight"])
    assert log["sleep/output_factor"] == 1.0


@pytest.fixture
def deep(digits):
    """A network of two hidden layers that knows the last of three experiences."""
    network = Feedforward([64, 20, 20, 10], seed=1)
    clep.Training(clep.Learner(network, lr=0.1, momentum=0.9), epochs=10).run(digits)
    return network


def test_two_hidden_layers_are_about_as_active_as_before(deep, digits, finish):
    asked, start = held(digits, deep), [weight.clone() for weight in deep.dense_stack().weights]
    before = activity(deep.dense_stack(), asked.x)
    finish(SleepReplay(), deep, last_of(digits))
    assert not torch.equal(deep.dense_stack().weights[0], start[0])
    assert activity(deep.dense_stack(), asked.x) == pytest.approx(before, rel=0.01)


def test_units_of_older_classes_answer_waves_again_and_those_of_classes_that_there_were_not_stay(
    expert, learned, digits, finish
):
    latest = held(digits, expert).y.unique()
    old = [unit for unit in range(10) if unit not in latest][:2]
    plugin = SleepReplay(keep=0.3)
    plugin.seen.classes = {*old, *latest.tolist()}
    never = [unit for unit in range(10) if unit not in plugin.seen.classes]
    with torch.no_grad():
        expert.connections[1].weight[old] -= 1.0  # far below zero, as training leaves them
    top = expert.connections[1].weight.detach().clone()
    finish(plugin, expert, last_of(digits))
    x = waves(plugin.seen, 500, torch.Generator().manual_seed(3))
    units = sorted(plugin.seen.classes)
    answers = (expert.dense_stack().presynaptic(x)[-1] @ expert.connections[1].weight[units].T).argmax(1)
    share = torch.bincount(answers, minlength=len(units)) / len(x)
    assert share[[units.index(unit) for unit in old]].sum() > 0.5 * len(old) / len(units)
    assert torch.equal(expert.connections[1].weight[never], top[never])


def test_biases_of_output_units_become_their_mean_and_others_stay(digits, finish):
    network = awake(bias=True)
    with torch.no_grad():
        for connection in network.connections:
            connection.bias.copy_(0.01 * torch.arange(len(connection.bias)))
    finish(SleepReplay(), network, last_of(digits))
    hidden, output = (connection.bias for connection in network.connections)
    assert torch.equal(hidden, 0.01 * torch.arange(20))
    torch.testing.assert_close(output, torch.full((10,), 0.045))


def test_hidden_synapses_take_a_25th_of_what_may_be_lost(digits, finish, monkeypatch):
    asked = []
    monkeypatch.setattr(SleepReplay, "_calibrated_sleep", lambda self, stack, held, least: asked.append(least))
    network = awake()
    before = held(digits, network).before
    finish(SleepReplay(), network, last_of(digits))
    assert asked == pytest.approx([0.98 * before])


def test_hidden_layers_that_forget_too_much_when_they_are_scaled_back_are_those_before_sleep(
    deep, digits, finish, monkeypatch
):
    def overdone(model, x, before):
        for layer in model.dense_stack().layers[:-1]:
            layer.weight.zero_()

    monkeypatch.setattr("clep.strategies.sleep_replay.restore", overdone)
    before, asked = [weight.detach().clone() for weight in deep.dense_stack().weights], held(digits, deep)
    finish(SleepReplay(), deep, last_of(digits))
    assert asked.before > 0.7
    for weight, old in zip(deep.dense_stack().weights, before, strict=True):
        assert torch.equal(weight, old)


# what it knows


def test_it_keeps_a_mean_and_no_sample(expert, digits, finish):
    plugin = finish(SleepReplay(), expert, last_of(digits))
    assert plugin.inputs is None
    x = torch.stack([sample[0] for sample in last_of(digits).dataset])
    torch.testing.assert_close(plugin.seen.mean, x.mean(0))
    assert plugin.seen.count == 40
    numbers = 3 + len(plugin.seen.classes) + 2  # count, range and classes; the unit of each layer
    assert plugin.memory() == Memory(statistics_bytes=64 * 4 + 8 * numbers)
    assert finish(SleepReplay(statistics="seen"), expert, last_of(digits)).inputs.count == 40


def test_inputs_below_zero_act_as_inputs_of_the_other_sign(learned, one_experience, digits, finish):
    """Flip the sign of half of the inputs and of their weights: the same network, so the same sleep."""
    x = last_of(digits).dataset
    pictures, labels = torch.stack([sample[0] for sample in x]).flatten(1), torch.tensor([sample[1] for sample in x])
    used = pictures.mean(0) > 0.0  # an input that is always zero has no sign
    signs = torch.where(used & (torch.arange(64) % 2 == 0), -1.0, 1.0)
    results = []
    for flip in (torch.ones(64), signs):
        network = awake()
        network.load_state_dict(learned)
        with torch.no_grad():
            network.connections[0].weight.mul_(flip)
        with warnings.catch_warnings():
            warnings.simplefilter("error", InputWarning)
            plugin = SleepReplay(keep=0.5)
            plugin.seed_with(1)
            finish(plugin, network, one_experience(pictures * flip, labels))
        results.append(network.connections[0].weight.detach() * flip)
    assert not torch.equal(results[0], learned["connections.0.weight"])
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-6)


def test_what_it_asks_about_itself_covers_sorted_classes_draws_nothing_and_leaves_the_mode():
    y = torch.arange(1000) // 100
    data = torch.utils.data.TensorDataset(torch.eye(10)[y], y)
    data.eval = lambda: data
    model = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Identity()).train()
    model[1].eval()
    state = torch.get_rng_state()
    asked = Held.of(data, model, torch.device("cpu"))
    assert asked.before == 1.0
    assert sorted(set(asked.y.tolist())) == list(range(10))
    assert torch.equal(torch.get_rng_state(), state)
    assert [part.training for part in model.modules()] == [True, True, False]


# what it warns of


def test_a_layer_that_never_fires_is_named_once(digits, finish):
    network, plugin = awake(), published(steps=50, threshold=[1e-3, 1e6])
    with pytest.warns(SleepWarning, match=r"`connections\.1` never fired in 50 steps.*lower threshold for it") as told:
        finish(finish(plugin, network, last_of(digits)), network, last_of(digits))
    assert len(told) == 1


def test_a_layer_that_always_fires_is_named(digits, finish):
    plugin = published(steps=50, rate=1e6, threshold=[1e-9, 1e6], increment=[0.0], decrement_ratio=[0.0])
    network = awake()
    with torch.no_grad():
        network.connections[0].weight.abs_()
    with pytest.warns(SleepWarning, match=r"`connections\.0` fired nearly all the time in 50 steps.*raise threshold"):
        finish(plugin, network, last_of(digits))


def test_a_sleep_that_takes_more_than_half_of_what_was_just_learned_says_so(expert, digits, finish):
    with pytest.warns(SleepWarning, match="more than half of what was just learned; .*set calibration=auto"):
        finish(published(threshold=[1e-3, 1e-3], increment=[1.0]), expert, last_of(digits))


def test_a_usual_sleep_warns_of_nothing(expert, digits, finish):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SleepWarning)
        finish(SleepReplay(), expert, last_of(digits))


def test_an_experience_that_was_not_learned_is_not_slept_on_and_says_so(expert, learned, digits, finish):
    with torch.no_grad():
        expert.connections[1].weight[held(digits, expert).y.unique()] = -1.0
    before = expert.connections[0].weight.clone()
    with pytest.warns(SleepWarning, match="nothing of the experience just trained was learned, so sleep is left out"):
        finish(SleepReplay(), expert, last_of(digits))
    assert torch.equal(expert.connections[0].weight, before)


def test_a_class_that_the_samples_it_asks_miss_is_still_one_of_the_experience(learned, one_experience, finish):
    """Class 1 occurs once in 600 samples, so not among those that tell how much is kept: no class is older."""
    network = awake()
    network.load_state_dict(learned)
    with torch.no_grad():  # it is right on one class, so that there is something to keep
        network.connections[1].weight[0] = 1.0
    before = network.connections[1].weight.detach().clone()
    y = torch.arange(600) % 2 * 2
    y[76] = 1
    experience = one_experience(torch.rand(600, 64, generator=torch.Generator().manual_seed(0)), y)
    assert 1 not in Held.of(experience.dataset, network, torch.device("cpu")).y
    plugin = SleepReplay()
    finish(plugin, network, experience)
    assert plugin.seen.classes == {0, 1, 2}
    assert torch.equal(network.connections[1].weight, before)


def test_changes_of_weights_are_those_that_sleep_leaves(deep, digits, finish):
    """Scaled back, centred and balanced: seen from outside, in each layer."""
    before = [p.detach().clone() for p in deep.parameters() if p.dim() == 2]
    plugin = SleepReplay()
    plugin.seen.classes = set(range(10))
    log = finish(plugin, deep, last_of(digits)).take_log()
    after = [p.detach() for p in deep.parameters() if p.dim() == 2]
    for layer, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        change = float((new - old).norm() / old.norm())
        assert change > 0.0
        assert log[f"sleep/weight_change_layer_{layer}"] == pytest.approx(change, rel=1e-5)


def test_a_stream_shorter_than_the_way_to_the_first_sleep_says_so(digits):
    training = clep.Training(clep.Learner(awake()), [SleepReplay(every=4)], epochs=1)
    with pytest.warns(UserWarning, match=r"sleeps after every 4 experiences, and there were 3; lower `every`"):
        training.run(digits)


def test_a_patch_of_what_is_no_image_is_told(expert, digits, one_experience, finish):
    x = torch.rand(40, 64, generator=torch.Generator().manual_seed(0))
    with pytest.warns(SleepWarning, match="patch has no effect"):
        finish(SleepReplay(patch=0.5), expert, one_experience(x))


# what it refuses


@pytest.mark.parametrize(
    ("given", "sizes", "name"),
    [
        ({"symmetric": True}, (64, 20, 10), "symmetric"),
        ({"feedback": 0.5}, (64, 10), "feedback"),
        ({"feedback": 0.5, "calibration": "published"}, (64, 10), "feedback"),
    ],
)
def test_an_option_that_finds_nothing_to_act_on_is_refused(given, sizes, name):
    with pytest.raises(ConfigError, match=rf"^strategy\.sleep_replay\.{name}: .*; leave it out"):
        clep.Training(clep.Learner(Feedforward(sizes)), [SleepReplay(**given)])


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"steps": 30}, "steps"),
        ({"threshold": [0.1]}, "threshold"),
        ({"gate": "none", "bounds": 2.0}, "gate"),
        ({"shuffled": True}, "shuffled"),
        ({"calibration": "published", "keep": 0.6}, "keep"),
        ({"calibration": "published", "depression": 0.5}, "depression"),
    ],
)
def test_an_option_of_the_other_calibration_is_refused_rather_than_ignored(given, name):
    with pytest.raises(ConfigError, match=rf"^{name}: it has no effect with calibration=.*, or set calibration="):
        SleepReplay(**given)


def test_parameters_stored_before_there_was_a_calibration_are_those_of_the_published_form():
    stored = SimpleNamespace(**vars(published(steps=30)))
    names = ["steps", "rate", "decay", "threshold", "increment", "decrement_ratio", "gate_width", "gate"]
    values = {name: getattr(stored, name) for name in names} | {"bounds": None}
    read = with_new_keys({"strategy": {"sleep_replay": values}})["strategy"]["sleep_replay"]
    assert read == values | {"calibration": "published"}
    chosen = {"strategy": {"sleep_replay": {"keep": 0.5}}}
    assert with_new_keys(chosen) == chosen


def test_the_search_is_over_the_constants_of_the_chosen_form():
    assert "keep" in SleepReplay.searched({})
    assert "keep" not in SleepReplay.searched({"calibration": "published"})
    assert "steps" in SleepReplay.searched({"calibration": "published"})


def test_without_a_depression_worth_the_name_no_hidden_weight_changes(expert, learned, digits, finish):
    finish(SleepReplay(depression=1e-30), expert, last_of(digits))
    assert torch.equal(expert.connections[0].weight, learned["connections.0.weight"])
