"""The answer of a comparison: who is first, what the sentence says, and what is never passed over in silence."""

import pytest

from clep.answer import MEASURES, answer
from clep.columns import Row
from clep.errors import ConfigError


def runs(forgotten, *, accuracy=0.5, seeds=None, **changes):
    """Finished runs, one per value of forgetting since training."""
    values = {"status": "FINISHED", "sizes": [180, 180], "chance": 0.1, "memory": {}, "seconds": {"total": 2.0}}
    return [
        {**values, "seed": seed, "accuracy": accuracy, "forgetting_since_training": value, "learned_in_training": 0.9}
        | changes
        for seed, value in zip(seeds or range(len(forgotten)), forgotten, strict=True)
    ]


NAIVE = Row("naive", runs([0.9, 0.95, 1.0], accuracy=0.2))
SLEEP = Row("sleep", runs([0.3, 0.4, 0.2], accuracy=0.7))
BOTH = Row("both", runs([0.1, 0.1, 0.13], accuracy=0.9))
JOINT = Row("joint", runs([None, None, None], accuracy=0.97))
ASLEEP = Row("asleep", runs([0.0, 0.0, 0.0], accuracy=0.11))


def test_the_cell_that_forgets_least_is_first_and_compared_with_the_next_one():
    found = answer([NAIVE, SLEEP, BOTH])
    assert [cell.label for cell in found.cells] == ["both", "sleep", "naive"]
    # differences 0.2, 0.3 and 0.07: mean 0.19, sd 0.11533, half of the interval 4.302653 * 0.11533 / 3**0.5 = 0.2865
    assert found.sentence == (
        "both forgets least: 0.110, 0.190 less than sleep [-0.096, +0.476], lower in 3 of 3 seeds (0, 1, 2): not shown "
        "with 3 seeds."
    )


def test_a_cell_that_learned_nothing_never_wins_and_is_named():
    """It forgets nothing because it knew nothing: 0.11 of 360 samples is not above a chance of 0.1."""
    found = answer([ASLEEP, SLEEP, NAIVE])
    assert [cell.label for cell in found.cells] == ["sleep", "naive", "asleep"]
    assert found["asleep"].learned_nothing
    assert found.baseline == "sleep"
    assert "Learned nothing (final accuracy not above chance): asleep." in found.notes


def test_what_trains_no_network_is_not_ranked_but_told():
    """It forgets little because it learns no features; the reader must know how good it is."""
    ridge = Row("ridge", runs([0.0, 0.01, 0.0], accuracy=0.95, updates=0))
    found = answer([ridge, SLEEP, NAIVE])
    assert [cell.label for cell in found.cells] == ["sleep", "naive", "ridge"]
    assert found.sentence.startswith("sleep forgets least")
    assert found.notes == ["Final accuracy of what trains no network, and is not ranked: ridge 0.950; chance is 0.100."]


def test_cells_that_cannot_forget_follow_those_that_can():
    found = answer([JOINT, NAIVE, SLEEP])
    assert [cell.label for cell in found.cells] == ["sleep", "naive", "joint"]
    assert not found["joint"].learned_nothing


def test_differences_are_taken_from_the_best_cell_or_from_the_chosen_one():
    best = answer([NAIVE, SLEEP])
    assert best.baseline == "sleep"
    assert best["naive"].differences["forgetting_since_training"].mean == pytest.approx(0.65)
    assert best["naive"].differences["accuracy"].mean == pytest.approx(-0.5)
    assert best["sleep"].differences == {}
    chosen = answer([NAIVE, SLEEP, BOTH], "naive")
    assert "less than naive" in chosen.sentence
    differences = chosen["both"].differences["forgetting_since_training"].by_seed
    assert differences == pytest.approx({0: -0.8, 1: -0.85, 2: -0.87})


def test_every_measure_is_summarised_and_compared():
    found = answer([NAIVE, SLEEP])
    assert set(found["naive"].summaries) == set(found["naive"].differences) == {measure.key for measure in MEASURES}


def test_an_unknown_baseline_is_refused_with_the_nearest_cell():
    with pytest.raises(ConfigError, match=r"baseline: .*`slep`.*sleep"):
        answer([NAIVE, SLEEP], "slep")


def test_from_six_seeds_on_the_sentence_has_the_p_of_the_sign_flip_test():
    found = answer([Row("a", runs([0.1] * 6)), Row("b", runs([0.5, 0.4, 0.6, 0.5, 0.45, 0.55]))])
    assert "lower in 6 of 6 seeds (0-5), p = 0.031: shown with 6 seeds." in found.sentence  # 2 of 2^6 patterns


def test_another_cell_may_be_the_most_accurate():
    found = answer([Row("cautious", runs([0.05, 0.05], accuracy=0.4)), Row("bold", runs([0.3, 0.3], accuracy=0.8))])
    assert found.sentence.startswith("cautious forgets least")
    assert "bold is the most accurate in the end: 0.800 against 0.400." in found.notes


def test_missing_runs_and_different_seeds_are_said():
    gone = {"status": "FAILED", "seed": 2, "accuracy": None, "diverged": True}
    found = answer([SLEEP, Row("wild", [*runs([0.1, 0.2]), gone])])
    assert "wild: 1 diverged." in found.notes
    assert any("different seeds" in note and "wild: 0, 1" in note for note in found.notes)
    assert found["sleep"].differences["accuracy"].only_first == (2,)


def test_one_seed_shows_nothing():
    found = answer([Row("a", runs([0.1])), Row("b", runs([0.2]))])
    assert found.sentence == (
        "a forgets least: 0.100, 0.100 less than b, lower in 1 of 1 seed (0): not shown with 1 seed."
    )


def test_runs_without_the_accuracies_before_consolidation_are_ranked_by_avalanches_forgetting():
    rows = [Row(label, runs([None, None], forgetting=value)) for label, value in (("a", 0.5), ("b", 0.2))]
    found = answer(rows)
    assert found.sentence.startswith("b forgets least: 0.200")
    assert any("was not recorded" in note for note in found.notes)
    mixed = answer([*rows, SLEEP])
    assert mixed.cells[0].label == "sleep"
    assert any("no rank: a, b" in note or "no rank: b, a" in note for note in mixed.notes)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "No run finished, so there is no answer."),
        ([Row("a", [{"status": "FAILED", "seed": 0, "accuracy": None}])], "No run finished, so there is no answer."),
        ([ASLEEP], "No cell learned anything: no final accuracy is above chance."),
        ([JOINT], "No cell has forgetting to compare; joint is the most accurate: 0.970."),
    ],
)
def test_there_may_be_no_answer(rows, sentence):
    assert answer(rows).sentence == sentence


def test_a_single_cell_is_told_with_its_accuracy():
    assert answer([SLEEP]).sentence == (
        "sleep forgets least: 0.300, at a final accuracy of 0.700; no other cell that learned something can forget."
    )
