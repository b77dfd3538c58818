"""What the parent run of a comparison says in MLflow, from results made by hand."""

import re

import pytest
from PIL import Image

from clep.comparison import Cell, parent, plan
from clep.config import compose
from clep.results import Comparison, Result

FORGOTTEN = {"naive": [0.9, 0.8], "ewc+sleep": [0.2, 0.3]}


def run(label, seed, forgotten):
    numbers = {
        "accuracy": 0.5,
        "forgetting_since_training": forgotten,
        "forgetting": forgotten,
        "accuracy_seen": [1, 0.5],
    }
    strategies = label.split("+")
    return Result(f"{label}{seed}", "FINISHED", "", "digits", "ep", strategies, seed, sizes=[9], chance=0.1, **numbers)


def comparison(forgotten=FORGOTTEN):
    runs = [run(label, seed, value) for label, values in forgotten.items() for seed, value in enumerate(values)]
    return Comparison("0123", "", runs, classes=10, seconds={"total": 1.0})


def jobs(*cells, seeds=(0, 1)):
    return plan([(Cell(label), compose(None, changes)) for label, changes in cells], seeds)


def test_only_what_holds_for_every_run_is_a_parameter():
    shared = parent.shared_params(jobs(("a", ["strategies=naive"]), ("b", ["strategies=joint", "learner.lr=0.5"])))
    assert (shared["cells"], shared["seeds"], shared["stream.name"]) == ("a, b", "0, 1", "digits")
    assert not {"seed", "strategies", "learner.lr", "workers"} & shared.keys()
    alone = parent.shared_params(jobs(("a", ["strategies=naive", "learner.lr=0.5"]), seeds=[3]))
    assert (alone["seed"], alone["strategies"], alone["learner.lr"]) == ("3", "['naive']", "0.5")


def test_the_numbers_over_seeds_are_metrics_with_names_that_mlflow_accepts():
    found = parent.numbers(comparison().answer)
    assert all(re.fullmatch(r"[\w. /-]{1,250}", name) for name in found)
    assert found["cell/ewc sleep/forgetting_since_training_mean"] == pytest.approx(0.25)
    assert found["cell/ewc sleep/forgetting_since_training_sd"] == pytest.approx(0.005**0.5)
    assert found["cell/naive/seeds"] == 2
    assert found["cell/naive/forgetting_since_training_difference_mean"] == pytest.approx(0.6)
    assert not [name for name in found if name.startswith("cell/ewc sleep/") and "difference" in name]


def test_labels_that_mlflow_cannot_tell_apart_get_numbers():
    found = parent.numbers(comparison({"a+b": [0.1], "a*b": [0.2], "*": [0.3]}).answer)
    cells = {name.split("/")[1] for name in found}
    assert cells == {"a b", "a b 2", "cell"}


def test_the_page_has_sentence_table_picture_and_links_in_this_order(tmp_path):
    text = parent.describe(comparison(), "7", link="#/charts", picture=tmp_path / "overview.png")
    parts = ["**ewc+sleep forgets least", "forgetting", "![overview](get-artifact?path=overview.png&run_uuid=0123)"]
    parts += ["](#/charts)", "- [accuracy/seen](#/metric?", "one step, 0"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_the_page_of_thirty_cells_fits_into_a_tag_of_mlflow(tmp_path):
    many = {f"a cell with quite a long name, number {i}": [0.1, 0.2, 0.3] for i in range(30)}
    text = parent.describe(comparison(many), "7", link="#/charts", picture=None)
    assert len(text) < 8000
    assert "](#/charts)" in text


def test_the_overview_is_as_wide_as_mlflows_page(tmp_path):
    wide = tmp_path / "figure.png"
    Image.new("RGB", (1600, 800), "white").save(wide)
    (tmp_path / "table.txt").write_text("")
    found = parent.overview([tmp_path / "table.txt", wide], tmp_path)
    with Image.open(found) as image:
        assert image.width <= 800
        assert image.width == 2 * image.height
    assert parent.overview([tmp_path / "table.txt"], tmp_path) is None
