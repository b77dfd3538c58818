"""The checks of networks and data sets: each notices the fault that it is for, and clep's own parts have none."""

import pytest

from clep.testing import DATASET_CHECKS, NETWORK_CHECKS, CheckFailed, Part
from tests.testing import faulty

NETWORKS = {
    "OneOutput": ("making", "returns a tensor (2, 1) for a batch of 2 inputs of shape (1, 8, 8)"),
    "UnseededNet": ("seeds", "two networks of one seed differ, in `layer.weight`"),
    "DroppingOut": ("evaluation", "the same batch has another answer the second time"),
    "LookingAtTheBatch": ("evaluation", "depends on the batch that it is in"),
    "Counting": ("evaluation", "`seen` changes in evaluation mode"),
    "KeepingTheGraph": ("copies", "it cannot be copied after a backward pass: RuntimeError"),
    "Scaling": ("copies", "a network with its `state_dict` gives other answers"),
    "Idle": ("learning", "`unused.weight` is not learned"),
}
DATASETS = {
    "three_arrays": ("loading", "three_arrays"),
    "other_each_time": ("repeats", "it differs from one time to the next"),
    "tested_on_what_it_learns": ("apart", "20 of 20 samples to test on are also there to learn from"),
}


@pytest.mark.parametrize(
    ("kind", "checks", "fault", "name", "message"),
    [("network", NETWORK_CHECKS, fault, *row) for fault, row in NETWORKS.items()]
    + [("dataset", DATASET_CHECKS, fault, *row) for fault, row in DATASETS.items()],
    ids=[*NETWORKS, *DATASETS],
)
def test_the_fault_is_noticed_by_the_check_that_is_for_it(kind, checks, fault, name, message):
    with pytest.raises(CheckFailed) as failed:
        checks[name].run(Part(kind, getattr(faulty, fault)))
    assert message in str(failed.value)


@pytest.mark.parametrize("name", NETWORK_CHECKS)
def test_a_network_without_a_fault_passes_every_check(name):
    NETWORK_CHECKS[name].run(Part("network", faulty.Net, bias=False))


@pytest.mark.parametrize("name", DATASET_CHECKS)
@pytest.mark.parametrize("dataset", ["digits", "tests.testing.faulty:noise"])
def test_a_data_set_without_a_fault_passes_every_check(dataset, name):
    DATASET_CHECKS[name].run(Part("dataset", dataset))
