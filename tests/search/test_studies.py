"""A search goes on only if nothing that its trials depend on has changed."""

import numpy as np
import optuna
import pytest

from clep import build, sources
from clep.build import resolved
from clep.config import compose
from clep.errors import StaleWarning
from clep.search import open_study, space_of

CHANGES = ["stream=npz", "stream.path=a.npz", "stream.experiences=2", "tune.space={learner.lr: {low: 0.1, high: 0.2}}"]


def save(first):
    x = np.full((4, 3), 0.5)
    x[0] = first
    np.savez("a.npz", x_train=x, y_train=[0, 0, 1, 1], x_test=x, y_test=[0, 0, 1, 1])


def study(*changes):
    config = resolved(compose(None, [*CHANGES, *changes]))
    return open_study(config, space_of(config), "sqlite:///mlflow.db")


@pytest.mark.filterwarnings("error::clep.errors.StaleWarning")
def test_a_search_goes_on_with_another_number_of_trials_and_another_seed(tmp_path):
    save(0.1)
    first = study()
    assert study("seed=3", "tune.trials=7", "workers=3").study_name == first.study_name
    assert study("learner.epochs=3").study_name != first.study_name


def test_other_data_make_another_search_and_are_named(tmp_path):
    save(0.1)
    first = study()
    save(0.2)
    with pytest.warns(StaleWarning, match=r"^data changed: a\.npz, to learn from .*, to test on .*; the search begins"):
        second = study()
    assert second.study_name != first.study_name
    save(0.1)
    assert study().study_name == first.study_name
    assert len(optuna.get_all_study_names("sqlite:///optuna.db")) == 2


def test_other_code_makes_another_search_unless_it_may_go_on(tmp_path, monkeypatch):
    save(0.1)
    first = study()
    monkeypatch.setattr(build, "own_code", lambda: "9.0+abc")
    with pytest.warns(StaleWarning, match=r"^code of clep changed \(was .*, is 9\.0\+abc\); the search goes on"):
        assert study("tracking.reuse=any_code").study_name == first.study_name
    with pytest.warns(StaleWarning, match=r"is 9\.0\+abc\); the search begins anew$"):
        assert study().study_name != first.study_name
    assert sources.own_code() != "9.0+abc"
