"""Who can join a population."""

import pytest

import clep
from clep.comparison import Cell, plan
from clep.comparison.crews import LARGEST, together
from clep.config import compose
from clep.errors import UnusedWarning
from clep.population.admission import kind, reasons


@pytest.mark.parametrize(
    ("key", "learner"),
    {
        "network.tolerance": lambda: clep.Learner(clep.Network([64, 8, 10], tolerance=0.1)),
        "network.inhibition": lambda: clep.Learner(clep.Network([64, 8, 10], inhibition=0.1)),
        "network.precision": lambda: clep.Learner(clep.Network([64, 8, 10], precision="bfloat16")),
        "learner.gradient": lambda: clep.Learner(clep.Network([64, 8, 10]), gradient=clep.Backpropagation()),
        "network.model": lambda: clep.Learner({"model": "feedforward", "sizes": [64, 8, 10]}),
    }.items(),
)
def test_the_reason_to_train_alone_begins_with_its_key(key, learner):
    assert next(reasons(learner(), {})).startswith(f"{key}:")


def test_constants_may_differ_and_architectures_may_not():
    def of(sizes=(64, 8, 10), beta=0.5, lr=0.1, seed=0, **options):
        return kind(
            clep.Learner(clep.Network(sizes, seed=seed), gradient=clep.LinearNudging(beta=beta, **options), lr=lr)
        )

    assert of() == of(beta=0.1, lr=0.2, seed=3)
    assert len({of(), of((64, 9, 10)), of(phases="one_sided")}) == 3


def jobs(cells: dict[str, list[str]], seeds: range, population: str = "auto"):
    return plan(
        [(Cell(label), compose(None, [f"population={population}", *changes])) for label, changes in cells.items()],
        seeds=list(seeds),
    )


def test_cells_of_one_architecture_share_a_process_and_others_are_named():
    cells = {"naive": [], "rehearsal": ["strategies=awake_rehearsal"], "alone": ["network.inhibition=0.1"]}
    with pytest.warns(UnusedWarning, match="the cell `alone` trains alone: network.inhibition"):
        assert together(jobs(cells, range(2)), workers=1) == [[0, 1, 3, 4], [2], [5]]
    assert together(jobs({"naive": []}, range(3), "off"), workers=1) == [[0], [1], [2]]


def test_a_kind_is_spread_over_the_workers_in_groups_that_are_not_too_large():
    many = jobs({"naive": []}, range(LARGEST + 2))
    assert [len(group) for group in together(many[:6], workers=2)] == [3, 3]
    assert [len(group) for group in together(many, workers=0)] == [LARGEST // 2 + 1] * 2
    assert together(many[:3], workers=4) == [[0, 1, 2]]
