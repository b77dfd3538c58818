"""Streams: which samples go where, what is held out, and in which order batches come."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from avalanche.benchmarks.utils.data_loader import TaskBalancedDataLoader
from torch.utils.data import DataLoader, TensorDataset

import clep
from clep.build import build_stream
from clep.config import compose
from clep.errors import ConfigError, DataError
from clep.randomness import generator_for
from clep.streams import ROW, Samples

SIZES = (20, 9, 14, 30, 11, 17, 25)  # training samples of each class


@pytest.fixture
def toy(tmp_path):
    """`toy(**options)`: a stream over 7 classes of uneven size; every sample is told by its first feature."""
    rng = np.random.default_rng(0)
    y_train = rng.permutation(np.repeat(np.arange(7), SIZES))
    y_test = rng.permutation(np.repeat(np.arange(7), 4))
    x_train, x_test = (
        np.stack([start + np.arange(len(y)), y], axis=1).astype(np.float32)
        for start, y in ((0, y_train), (1000, y_test))
    )
    np.savez(tmp_path / "toy.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return lambda **options: clep.stream(
        "npz", path=str(tmp_path / "toy.npz"), **({"experiences": 3, "scale": 1} | options)
    )


@pytest.fixture(scope="module")
def digits():
    return clep.stream("digits", experiences=5, samples_per_experience=50)


def ids(part):
    """The numbers of the samples of an experience or of `Samples`."""
    return (part.samples if hasattr(part, "samples") else part).x[:, 0].long().tolist()


def all_ids(experiences):
    return [i for experience in experiences for i in ids(experience)]


@pytest.mark.parametrize("experiences", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("class_order", ["shuffled", "fixed", [3, 1, 6, 0, 5, 2, 4]])
def test_every_class_and_every_sample_is_in_exactly_one_experience(experiences, class_order, toy):
    stream = toy(experiences=experiences, class_order=class_order)
    assert [c for e in stream.train for c in e.classes] == list(stream.class_order)
    assert sorted(stream.class_order) == list(range(7))
    sizes = [len(e.classes) for e in stream.train]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1
    for part, total in ((stream.train, sum(SIZES)), (stream.test, 28)):
        assert [e.index for e in part] == list(range(experiences))
        assert len(set(all_ids(part))) == len(all_ids(part)) == total
        for experience, trained in zip(part, stream.train, strict=True):
            assert experience.classes == trained.classes
            assert set(experience.samples.y.tolist()) == set(experience.classes)
            assert torch.equal(experience.samples.x[:, 1].long(), experience.samples.y)  # labels stay with samples
    assert all(i >= 1000 for i in all_ids(stream.test))
    assert [len(e) for e in stream.validation] == [0] * experiences


def test_training_experiences_are_rows_of_the_samples(toy):
    stream = toy(validation_fraction=0.2, samples_per_experience=15)
    for experience in stream.train:
        rows = stream.samples.rows(experience.rows)
        assert torch.equal(rows.x, experience.samples.x)
        assert torch.equal(rows.y, experience.samples.y)
        assert len(experience) == len(experience.rows) == 15


def test_a_shuffled_class_order_follows_from_its_seed_alone(toy):
    """Else adding a validation part, or a draw before, would silently compare strategies on other class orders."""
    order = toy(seed=3).class_order
    assert order == tuple(torch.randperm(7, generator=generator_for(3, "class order")).tolist())
    torch.rand(1)
    assert toy(seed=3, validation_fraction=0.3, samples_per_experience=4, experiences=7).class_order == order
    orders = {toy(seed=seed).class_order for seed in range(10)}
    assert len(orders) > 7
    assert any(o != tuple(range(7)) for o in orders)


def test_fixed_and_given_class_orders_are_kept(toy):
    assert toy(class_order="fixed", seed=5).class_order == (0, 1, 2, 3, 4, 5, 6)
    given = toy(class_order=[3, 1, 6, 0, 5, 2, 4], seed=5)
    assert [e.classes for e in given.train] == [(3, 1, 6), (0, 5), (2, 4)]
    for numbers in (range(7), np.arange(7), torch.arange(7)):
        assert toy(class_order=numbers).class_order == (0, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_the_validation_part_is_stratified_and_never_trained_on(fraction, toy):
    stream = toy(validation_fraction=fraction, evaluate_on="validation")
    held_out = all_ids(stream.validation)
    counts = Counter(int(y) for e in stream.validation for y in e.samples.y)
    assert [counts[c] for c in range(7)] == [round(fraction * n) for n in SIZES]
    assert len(set(held_out)) == len(held_out)
    assert sorted(held_out + all_ids(stream.train)) == list(range(sum(SIZES)))  # disjoint, and nothing is lost
    for experience, trained in zip(stream.validation, stream.train, strict=True):
        assert set(experience.samples.y.tolist()) <= set(trained.classes)
    rows = [row for e in stream.train for row in e.rows]
    assert not set(ids(stream.samples.rows(rows))) & set(held_out)
    assert not set(all_ids(stream.joint().train)) & set(held_out)
    for experience in stream.benchmark.train_stream:
        assert not {int(x[0]) for x, *_ in experience.dataset} & set(held_out)


def test_the_validation_part_follows_from_the_seed_alone(toy):
    """The same samples are held out whatever the class order, the experiences and the number of samples are."""
    held_out = set(all_ids(toy(validation_fraction=0.3, seed=2).validation))
    other = toy(validation_fraction=0.3, seed=2, class_order="fixed", experiences=7, samples_per_experience=3)
    assert set(all_ids(other.validation)) == held_out
    assert set(all_ids(toy(validation_fraction=0.3, seed=1).validation)) != held_out


def test_fewer_evaluation_samples_are_the_same_for_every_seed(toy):
    """Drawn by the run's seed, they would add to the spread over seeds; the first ones may be the easy ones."""
    few, every = toy(evaluation_samples=5, class_order="fixed"), toy(class_order="fixed")
    assert [len(e) for e in few.test] == [5, 5, 5]
    assert ids(few.test[0]) != ids(every.test[0])[:5]
    assert set(all_ids(few.test)) < set(all_ids(every.test))
    assert all_ids(few.train) == all_ids(every.train)
    other = toy(evaluation_samples=5, class_order="fixed", seed=7)
    assert all_ids(other.test) == all_ids(few.test)
    held = toy(evaluation_samples=2, validation_fraction=0.3)
    assert [len(e) for e in held.validation] == [2, 2, 2]


def test_samples_per_experience_draws_that_many_at_random(toy):
    few, every = toy(samples_per_experience=12), toy()
    for limited, whole in zip(few.train, every.train, strict=True):
        assert len(limited) == len(set(ids(limited))) == 12
        assert set(ids(limited)) < set(ids(whole))
        assert set(ids(limited)) != set(ids(whole)[:12])
    again, other = toy(samples_per_experience=12), toy(samples_per_experience=12, seed=1, class_order=few.class_order)
    assert all_ids(again.train) == all_ids(few.train)
    assert set(all_ids(other.train)) != set(all_ids(few.train))
    assert sorted(all_ids(toy(samples_per_experience=10_000).train)) == sorted(all_ids(every.train))
    assert all_ids(few.test) == all_ids(every.test)  # evaluation is never cut


@pytest.mark.parametrize("part", ["test", "validation"])
def test_evaluation_is_the_part_that_was_asked_for(part, toy):
    stream = toy(validation_fraction=0.2, evaluate_on=part)
    assert stream.evaluation == getattr(stream, part)
    evaluated = [[int(x[0]) for x, *_ in e.dataset] for e in stream.benchmark.test_stream]
    assert evaluated == [ids(e) for e in stream.evaluation]


def test_joint_is_one_training_experience_of_the_same_samples(toy):
    stream = toy(validation_fraction=0.2, samples_per_experience=11)
    joint = stream.joint()
    (whole,) = joint.train
    assert whole.classes == stream.class_order
    assert ids(whole) == all_ids(stream.train)
    assert ids(joint.samples.rows(whole.rows)) == ids(whole)
    assert joint.evaluation == stream.evaluation
    assert len(joint.benchmark.train_stream) == 1
    assert len(joint.benchmark.test_stream) == 3
    assert len(stream.train) == 3  # the stream itself is untouched


def collect(loader, epochs=2):
    return [[t.clone() for t in batch] for _ in range(epochs) for batch in loader]


def assert_same_batches(first, second):
    for ours, theirs in zip(first, second, strict=True):
        assert len(ours) == 3
        for a, b in zip(ours, theirs, strict=False):
            assert torch.equal(a, b)


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_and_draws_equal_those_of_a_torch_loader(shuffle, digits):
    """Over two epochs; the state left behind is the same, so whatever draws next is the same as well."""
    samples = digits.train[0].samples
    torch.manual_seed(5)
    ours = collect(digits.train[0].loader(16, shuffle=shuffle))
    state = torch.get_rng_state()
    torch.manual_seed(5)
    theirs = collect(DataLoader(TensorDataset(samples.x, samples.y), batch_size=16, shuffle=shuffle))
    assert_same_batches(ours, theirs)
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(batch[1]) for batch in ours] == [16, 16, 16, 2] * 2  # the last batch counts, too
    assert all(batch[2].tolist() == [0] * len(batch[1]) for batch in ours)


def test_batches_and_draws_equal_those_of_avalanches_loader(digits):
    torch.manual_seed(5)
    ours = collect(digits.train[1].loader(16))
    state = torch.get_rng_state()
    torch.manual_seed(5)
    dataset = digits.benchmark.train_stream[1].dataset
    theirs = collect(TaskBalancedDataLoader(dataset, batch_size=16, shuffle=True, oversample_small_groups=True))
    assert_same_batches(ours, theirs)
    assert all(torch.equal(a[2], b[2]) for a, b in zip(ours, theirs, strict=True))  # task labels
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("shuffle", [True, False])
def test_with_a_generator_the_global_one_is_left_alone(shuffle, digits):
    state = torch.get_rng_state()
    first = collect(digits.train[0].loader(16, shuffle=shuffle, generator=generator_for(1, "batches")))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert_same_batches(
        first, collect(digits.train[0].loader(16, shuffle=shuffle, generator=generator_for(1, "batches")))
    )
    other = collect(digits.train[0].loader(16, shuffle=shuffle, generator=generator_for(2, "batches")))
    assert torch.equal(first[0][1], other[0][1]) is not shuffle
    if shuffle:
        assert not torch.equal(first[0][0], first[4][0])  # epochs differ


def test_every_epoch_shows_every_sample_once():
    samples = Samples(torch.arange(23.0)[:, None], torch.arange(23))
    for epoch in range(3):
        loader = samples.loader(5, generator=generator_for(epoch, "batches"))
        assert sorted(torch.cat([y for _, y, _ in loader]).tolist()) == list(range(23))


def test_avalanche_sees_constant_task_labels_and_the_classes_of_each_experience(digits):
    for stream, experiences in (
        (digits.benchmark.train_stream, digits.train),
        (digits.benchmark.test_stream, digits.test),
    ):
        for theirs, ours in zip(stream, experiences, strict=True):
            assert theirs.task_label == 0
            assert set(theirs.dataset.targets_task_labels) == {0}
            assert set(theirs.classes_in_this_experience) == set(ours.classes)
            assert list(theirs.dataset.targets) == ours.samples.y.tolist()
            assert theirs.current_experience == ours.index
            x, y, t = theirs.dataset[3]
            assert torch.equal(x, ours.samples.x[3])
            assert (y, t) == (int(ours.samples.y[3]), 0)


def test_the_row_attribute_stays_right_through_subset_and_concat(digits):
    """Strategies join and cut data sets; the bridge finds the tensors by this attribute."""
    first, second = (e.dataset for e in digits.benchmark.train_stream[:2])
    assert list(getattr(first, ROW)) == list(digits.train[0].rows)
    mixed = second.subset([4, 40, 7]).concat(first.subset([1, 1, 30])).subset([5, 0, 3, 2])
    rows = list(getattr(mixed, ROW))
    assert rows == [digits.train[0].rows[30], digits.train[1].rows[4], digits.train[0].rows[1], digits.train[1].rows[7]]
    for row, (x, y, _) in zip(rows, mixed, strict=True):
        assert torch.equal(x, digits.samples.x[row])
        assert y == int(digits.samples.y[row])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiences": 0}, r"^experiences: expected an integer of at least 1, got 0"),
        ({"experiences": 11}, r"^experiences: expected an integer in \[1, 10\], the number of classes, got 11"),
        (
            {"class_order": "shufled"},
            r"^class_order: unknown value `shufled`; did you mean `shuffled`\?.* or a list",
        ),
        ({"class_order": [0, 1.5]}, r"^class_order: expected classes as integers from 0, got 1\.5"),
        ({"class_order": [0, 1, 2]}, r"^class_order: .* permutation of 0 to 9, got \[0, 1, 2\]"),
        ({"class_order": [0, 0, 2, 3, 4, 5, 6, 7, 8, 9]}, r"^class_order: "),
        ({"evaluate_on": "validation"}, r"^evaluate_on: `validation` has no samples while validation_fraction is 0"),
        ({"evaluate_on": "tset"}, r"^evaluate_on: unknown value `tset`; did you mean `test`\?"),
        ({"evaluate": "sene"}, r"^evaluate: unknown value `sene`; did you mean `seen`\?.*, or `every:K`"),
        ({"evaluate": "every:0"}, r"^evaluate: expected an integer, got 'every:0', or `every:K` with K of at least 1"),
        ({"validation_fraction": 1.0}, r"^validation_fraction: expected a number in \[0, 1\), got 1\.0"),
        ({"validation_fraction": -0.1}, r"^validation_fraction: expected a number in \[0, 1\), got -0\.1"),
        ({"evaluation_samples": 0}, r"^evaluation_samples: expected an integer of at least 1.* got 0"),
        ({"samples_per_experience": 0}, r"^samples_per_experience: expected an integer of at least 1.* got 0"),
        ({"samples_per_experience": -5}, r"^samples_per_experience: .* got -5"),
        (
            {"samples_per_experience": 2.5},
            r"^samples_per_experience: .* of at least 1 or null, got 2\.5",
        ),
        ({"seed": "0"}, r"^seed: expected an integer, got '0'"),
        ({"path": "my.npz"}, r"^path: only `npz` and `folder` take a path"),
    ],
)
def test_impossible_options_are_refused_by_their_names(options, message):
    with pytest.raises(ConfigError, match=message):
        clep.stream("digits", **options)


@pytest.mark.parametrize(
    ("fraction", "evaluate_on", "part"), [(0.01, "validation", "validation"), (0.99, "test", "train")]
)
def test_a_part_without_samples_is_refused(fraction, evaluate_on, part, toy):
    """Its accuracies would be undefined, or there would be nothing to learn."""
    message = rf"^validation_fraction: {fraction} leaves class \d of `npz` without a {part} sample"
    with pytest.raises(ConfigError, match=message):
        toy(validation_fraction=fraction, evaluate_on=evaluate_on)


@pytest.fixture
def without(tmp_path):
    """`without(part, label, **options)`: 4 classes of 5 training and 3 test samples; a part lacks one."""

    def made(part, label, **options):
        labels = {"train": np.repeat(np.arange(4), 5), "test": np.repeat(np.arange(4), 3)}
        labels[part] = labels[part][labels[part] != label]
        arrays = {f"y_{part}": y for part, y in labels.items()}
        arrays |= {f"x_{part}": np.eye(4, dtype=np.float32)[y] for part, y in labels.items()}
        np.savez(tmp_path / "data.npz", **arrays)
        return clep.stream("npz", path=str(tmp_path / "data.npz"), **({"experiences": 4} | options))

    return made


@pytest.mark.parametrize(("part", "kind"), [("test", DataError), ("train", DataError)])
def test_a_class_without_samples_is_refused_with_its_number_and_the_file(part, kind, without, tmp_path):
    with pytest.raises(kind, match=rf"^{tmp_path}/data\.npz: `y_{part}` has no sample of class 2[,;]"):
        without(part, 2)


def test_a_class_without_test_samples_counts_nowhere_if_one_says_so(without):
    """Training by hand, since what is measured is the point: every answer is class 0, the others are 3 samples each."""
    stream = without("test", 2, missing_test="ignore", class_order=[2, 0, 1, 3])
    assert [len(e) for e in stream.test] == [0, 3, 3, 3]
    assert stream.chance == pytest.approx(1 / 3)
    assert len(without("test", 2, missing_test="ignore", experiences=2, class_order="fixed").test[1]) == 3


def test_a_class_without_held_out_samples_is_refused_only_where_they_are_measured(without):
    """round(0.08 * 5) = 0: nothing of a class is held out."""
    assert without("test", None, validation_fraction=0.08).evaluate_on == "test"
    with pytest.raises(ConfigError, match=r"^validation_fraction: 0\.08 leaves class 0 of `npz` without a validation"):
        without("test", None, validation_fraction=0.08, evaluate_on="validation", missing_test="ignore")


def test_streams_compare_and_hash_by_identity(toy):
    """Comparing tensors field by field would raise, or be ambiguous."""
    one, other = toy(), toy()
    assert one == one != other
    assert len({one, other, one.train[0], other.train[0], one.samples, one.samples}) == 5


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"^name: unknown data set `digist`; did you mean `digits`\?"):
        clep.stream("digist")


def test_options_are_checked_before_data_are_looked_for(tmp_path):
    """Else a typo costs a download."""
    with pytest.raises(ConfigError, match=r"^experiences: "):
        clep.stream("mnist", experiences=0, root=str(tmp_path), download=False)


def test_a_configuration_puts_its_path_in_front():
    with pytest.raises(ConfigError, match=r"^stream\.experiences: expected an integer in \[1, 10\]"):
        build_stream(compose({}, ["stream.experiences=11"]))


def test_a_stream_needs_no_avalanche():
    """It takes seconds to import, and plain Lightning training works without it."""
    code = "import sys, clep.streams; print('avalanche' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
