"""What each scenario deals out, counted by hand and beside Avalanche's generator."""

import warnings
from collections import Counter

import numpy as np
import pytest
import torch

import clep
from clep.datasets.arrays import Raw, dataset_of
from clep.errors import ConfigError, DataError
from clep.scenarios.blurred import blurred
from clep.scenarios.data_incremental import data_incremental
from clep.scenarios.permuted import permuted
from clep.scenarios.repetition import repetition
from clep.scenarios.rotated import rotated
from clep.streams import Samples, stream_of

SIZES = (20, 10, 30, 16)  # training samples of each class; 4 each to test on


@pytest.fixture(scope="module")
def data():
    """Images of 3 x 3 pixels in 4 classes; the first pixel tells a sample, the last its class."""
    y_train, y_test = np.repeat(np.arange(4), SIZES), np.repeat(np.arange(4), 4)
    rng = np.random.default_rng(0)
    x_train, x_test = (rng.random((len(y), 1, 3, 3)) for y in (y_train, y_test))
    for start, x, y in ((0, x_train, y_train), (0.5, x_test, y_test)):
        x[:, 0, 0, 0] = start + np.arange(len(y)) / 1000
        x[:, 0, 2, 2] = y / 10
    return dataset_of(Raw("made", (x_train, y_train, x_test, y_test)))


DEAL = {"class_order": [2, 0, 3, 1], "experiences": 2, "sizes": None}


def ids(experience):
    """The samples of an experience of unchanged images."""
    return (experience.samples.x[:, 0, 0, 0] * 1000).round().int().tolist()


def test_sizes_deal_out_as_many_classes_as_they_say_and_as_avalanche_does():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from avalanche.benchmarks import nc_benchmark

    whole = clep.stream("digits", experiences=1, class_order="fixed")
    order, sizes = [7, 1, 8, 2, 0, 9, 4, 3, 6, 5], [4, 2, 1, 3]
    ours = clep.stream("digits", sizes=sizes, class_order=order)
    theirs = nc_benchmark(
        whole.benchmark.train_stream[0].dataset,
        whole.benchmark.test_stream[0].dataset,
        n_experiences=4,
        task_labels=False,
        fixed_class_order=order,
        per_exp_classes=dict(enumerate(sizes)),
    )
    assert len(ours.train) == len(ours.test) == 4
    for own, their in ((ours.train, theirs.train_stream), (ours.test, theirs.test_stream)):
        assert [set(e.classes) for e in own] == [set(e.classes_in_this_experience) for e in their]
        assert [Counter(e.samples.y.tolist()) for e in own] == [Counter(map(int, e.dataset.targets)) for e in their]


def test_some_classes_alone_have_new_numbers_and_keep_their_names():
    some = clep.stream("digits", classes=[7, 3, 9], class_order=[9, 3, 7], sizes=[1, 2])
    assert some.class_names == ("3", "7", "9")
    assert [e.classes for e in some.train] == [(2,), (0, 1)]
    whole = clep.stream("digits", experiences=1)
    nines = whole.samples.x[whole.samples.y == 9]
    assert torch.equal(some.train[0].samples.x, nines)
    assert clep.Training(clep.Learner(clep.Network([64, 3])), epochs=1).run(some).matrix.shape == (2, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": [4, 2]}, r"^sizes: they add up to 6, but there are 10 classes; set stream\.classes"),
        ({"sizes": [8, 4]}, r"^sizes: they add up to 12, but there are 10 classes; use smaller sizes"),
        ({"sizes": [5, 5], "experiences": 3}, r"^experiences: 3 of them, but sizes says 2; drop one"),
        ({"classes": []}, r"^classes: expected at least one class"),
        ({"classes": [1, 10]}, r"^classes: expected classes of 0 to 9, got 10"),
        ({"classes": [1, 1]}, r"^classes: expected each entry once, got `1` 2 times"),
        ({"classes": ["cat"]}, r"^classes: the classes of `digits` have numbers only, 0 to 9"),
        ({"classes": [1, 2], "class_order": [0, 1], "experiences": 2}, r"^class_order: .* a permutation of \[1, 2\]"),
        ({"scenario": "permuted", "sizes": [5, 5]}, r"^sizes: the scenario `permuted` takes no `sizes`; drop it"),
        ({"scenario": "rotatd"}, r"^scenario: unknown stream `rotatd`; did you mean `rotated`\?"),
        ({"scenario": "as_given"}, r"^scenario: `digits` does not come in experiences"),
        (
            {"scenario": "repetition", "scenario_options": {"round": 2}},
            r"^scenario_options\.round: unknown key `round`; did you mean `rounds`\?",
        ),
        (
            {"scenario": "repetition", "scenario_options": {"rounds": 0}},
            r"^scenario_options\.rounds: expected an integer of at least 1, got 0",
        ),
        (
            {"scenario": "rotated", "scenario_options": {"angles": [0, 90]}},
            r"^scenario_options\.angles: 2 of them for 5 experiences; set stream\.experiences=2",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(options, message):
    with pytest.raises(ConfigError, match=message):
        clep.stream("digits", **options)


def test_parts_of_one_distribution_share_nothing_and_have_every_class_alike(data):
    made = data_incremental(data, seed=0, experiences=3)
    counts = [Counter(e.samples.y.tolist()) for e in made.train]
    assert sorted(i for e in made.train for i in ids(e)) == list(range(sum(SIZES)))
    for label, size in enumerate(SIZES):
        found = [count[label] for count in counts]
        assert sum(found) == size
        assert max(found) - min(found) <= 1
    assert [len(e) for e in made.train] == [26, 25, 25]
    assert ids(made.train[0]) != ids(data_incremental(data, seed=1, experiences=3).train[0])
    assert (len(made.test), len(made.test[0]), made.learned_at) == (1, 16, (None,))


def test_classes_that_come_back_bring_samples_that_were_not_there_before(data):
    made = repetition(data, seed=3, rounds=3, **DEAL)
    assert len(made.train) == 6
    assert [set(e.classes) for e in made.train[:2]] == [{2, 0}, {3, 1}]
    for at in (2, 4):  # each round has every group once
        assert {e.classes for e in made.train[at : at + 2]} == {(2, 0), (3, 1)}
    assert sorted(i for e in made.train for i in ids(e)) == list(range(sum(SIZES)))
    of_twos = sorted(Counter(e.samples.y.tolist())[2] for e in made.train if 2 in e.classes)
    assert of_twos == [10, 10, 10]
    assert [e.classes for e in made.test] == [(2, 0), (3, 1)]
    assert made.learned_at == (0, 1)
    orders = {tuple(e.classes for e in repetition(data, seed=s, rounds=3, **DEAL).train) for s in range(8)}
    assert len(orders) > 1
    still = {tuple(e.classes for e in repetition(data, seed=s, rounds=3, shuffle=False, **DEAL).train) for s in (0, 1)}
    assert still == {((2, 0), (3, 1)) * 3}


def test_neighbours_swap_the_share_and_nothing_is_lost(data):
    deal = DEAL | {"experiences": 4}  # groups of 30, 20, 16 and 10 samples
    made = blurred(data, seed=0, share=0.4, **deal)
    own = [Counter(e.samples.y.tolist()) for e in made.train]
    assert [len(e) for e in made.train] == [30, 20, 16, 10]
    assert own == [  # 4, 3 and 2 samples cross the boundaries in each direction
        Counter({2: 26, 0: 4}),
        Counter({0: 13, 2: 4, 3: 3}),
        Counter({3: 11, 0: 3, 1: 2}),
        Counter({1: 8, 3: 2}),
    ]
    assert sorted(i for e in made.train for i in ids(e)) == list(range(sum(SIZES)))
    assert [e.classes for e in made.test] == [(2,), (0,), (3,), (1,)]


def test_without_a_share_boundaries_are_those_of_a_class_incremental_stream():
    sharp = clep.stream("digits", scenario="blurred", scenario_options={"share": 0.0}, seed=2)
    plain = clep.stream("digits", seed=2)
    for one, other in zip(sharp.train, plain.train, strict=True):
        assert one.rows == other.rows


def test_an_order_of_pixels_holds_for_all_samples_and_depends_on_seed_and_index_alone(data):
    made, more = permuted(data, seed=1, experiences=3), permuted(data, seed=1, experiences=4)
    assert torch.equal(made.train[0].samples.x, data.x_train)
    orders = set()
    for trained, tested, again in zip(made.train[1:], made.test[1:], more.train[1:], strict=False):
        place = [(trained.samples.x.flatten(1) == data.x_train.flatten(1)[:, [i]]).all(0).nonzero() for i in range(9)]
        order = tuple(int(i) for i in torch.cat(place).flatten())
        assert sorted(order) == list(range(9))
        assert torch.equal(tested.samples.x.flatten(1)[:, order], data.x_test.flatten(1))
        assert torch.equal(trained.samples.x, again.samples.x)
        assert torch.equal(trained.samples.y, data.y_train)
        orders.add(order)
    assert len(orders) == 2
    assert not torch.equal(permuted(data, seed=1, experiences=1, first=True).train[0].samples.x, data.x_train)
    assert not torch.equal(permuted(data, seed=2, experiences=2).train[1].samples.x, made.train[1].samples.x)


def test_images_are_turned_counter_clockwise_by_their_angles(data):
    made = rotated(data, experiences=4)
    assert [e.name for e in made.test] == ["0 degrees", "45 degrees", "90 degrees", "135 degrees"]
    for part, x in ((made.train, data.x_train), (made.test, data.x_test)):
        assert torch.equal(part[0].samples.x, x)
        assert torch.allclose(part[2].samples.x, torch.rot90(x, 1, (2, 3)), atol=1e-5)
    vectors = dataset_of(Raw("flat", (np.eye(4), np.arange(4), np.eye(4), np.arange(4))))
    with pytest.raises(ConfigError, match=r"^scenario: `rotated` turns images, but `flat` has vectors"):
        rotated(vectors, experiences=2)


@pytest.mark.parametrize("scenario", ["permuted", "data_incremental", "repetition", "blurred"])
def test_a_held_out_part_is_never_trained_on_and_is_changed_as_the_rest(scenario):
    options = {"scenario": scenario, "experiences": 2, "seed": 4}
    made = clep.stream("digits", **options, validation_fraction=0.25, evaluate_on="validation")
    tests = clep.stream("digits", **options).test
    assert [e.name for e in made.evaluation] == [e.name for e in tests]
    assert [e.classes for e in made.evaluation] == [e.classes for e in tests]
    assert [len(e) for e in made.test] == [len(e) for e in tests]
    held_out = {x.numpy().tobytes() for e in made.validation for x in e.samples.x}
    trained = [x.numpy().tobytes() for e in made.train for x in e.samples.x]
    assert held_out
    assert not held_out & set(trained)


def test_samples_of_ones_own_are_the_samples_of_the_stream(data):
    parts = [Samples(data.x_train * k, data.y_train) for k in (0.5, 1.0)]
    made = stream_of(data, parts, [Samples(data.x_test, data.y_test)])
    for part, experience in zip(parts, made.train, strict=True):
        assert torch.equal(made.samples.rows(experience.rows).x, part.x)
    assert made.learned_at == (None,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": []}, r"^train: expected experiences"),
        ({"train": [[0, 1], []]}, r"^train\[1\]: no samples to learn from"),
        ({"train": [Samples(torch.rand(2, 5), torch.tensor([0, 1]))]}, r"^train\[0\]: expected samples of shape"),
        ({"test": [Samples(torch.rand(1, 1, 3, 3), torch.tensor([4]))]}, r"^test\[0\]: expected labels from 0 to 3"),
        ({"test": [[0], [1], [2]]}, r"^learned_at: 3 test experiences, but 2 to learn from"),
        ({"learned_at": [1]}, r"^learned_at: expected for each of 2 test experiences"),
        ({"learned_at": [1, 0]}, r"^learned_at: .* in ascending order"),
        ({"learned_at": [0, 2]}, r"^learned_at: .* an index below 2"),
        ({"class_order": [0, 1, 2]}, r"^class_order: expected every class of 0 to 3 once"),
        ({"names": ["a"]}, r"^names: expected one for each of 2 test experiences"),
    ],
)
def test_a_stream_that_does_not_fit_its_data_is_refused(data, change, message):
    arguments = {"train": [[0, 1], [2]], "test": [[0], [1]]} | change
    with pytest.raises(ConfigError, match=message):
        stream_of(data, **arguments)


def test_experiences_with_gaps_in_their_numbers_are_refused():
    x, y = np.eye(3), np.arange(3)
    with pytest.raises(DataError, match="number the experiences from 0, without gaps, got 0, 2"):
        dataset_of(Raw("made", (x, y, x, y), experiences=(np.array([0, 0, 2]), np.zeros(3, int))))
