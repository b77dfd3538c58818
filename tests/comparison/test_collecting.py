"""Stored runs as one comparison: which are taken, what their cells are called, and what is refused."""

import pytest

from clep import metric_names, tracking
from clep.comparison import plan
from clep.comparison.collecting import collect
from clep.comparison.older import completed, learned_from
from clep.config import cells_of, compose
from clep.errors import ConfigError
from clep.results import Result
from tests.oracles.comparisons import result_of, store_comparison, store_run
from tests.oracles.stores import empty_store

TWO = {"cells": [["naive"], ["joint"]], "seeds": [0, 1]}
OLD = {"accuracy_before_consolidation": [], "forgetting_since_training": None, "learned_in_training": None}


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return empty_store(tmp_path_factory.mktemp("collecting"))


@pytest.fixture
def name(request):
    """An experiment of its own for each test."""
    return f"{request.node.name[:40]} {hash(request.node.name)}"


def jobs(uri, name, *changes, source=TWO):
    config = compose(source, [f"tracking.uri={uri}", f"tracking.experiment={name}", *changes])
    return plan(cells_of(config), config.seeds)


def seen(collected):
    return {(run.label, run.seed): run.run_id for run in collected.comparison.runs}


def test_without_a_selection_the_latest_comparison_is_reported(uri, name):
    store_comparison(uri, TWO, [f"tracking.experiment={name}"])
    latest = store_comparison(uri, TWO, [f"tracking.experiment={name}", "baseline=joint"])
    found = collect(uri=uri)
    assert found.comparison.parent_run_id == latest.parent_run_id
    assert found.comparison.baseline == "joint"
    assert found.comparison.runs == latest.runs
    assert found.notes == []


def test_the_runs_of_several_comparisons_are_the_seeds_of_one_cell(uri, name):
    """Whoever made them, and in whatever comparison."""
    first = store_comparison(uri, TWO, [f"tracking.experiment={name}"])
    second = store_comparison(uri, TWO, [f"tracking.experiment={name}", "seeds=[2]", "cells=[[naive]]"])
    found = collect([first.parent_run_id[:10], second.parent_run_id], uri=uri).comparison
    assert [(run.label, run.seed) for run in found.runs] == [("naive", s) for s in (0, 1, 2)] + [
        ("joint", 0),
        ("joint", 1),
    ]
    assert (found.parent_run_id, found.classes) == ("", 4)
    assert found.answer.sentence


def test_of_a_cell_and_seed_the_latest_run_that_finished_counts_and_the_rest_is_told(uri, name):
    job, other = jobs(uri, name)[:2]
    store_run(uri, job)
    last = store_run(uri, job)
    store_run(uri, job, error="DivergenceError: no")  # later, but it did not finish
    gone = store_run(uri, other, error="DivergenceError: no")
    running = tracking.Run(uri, tracking.prepare(uri, name), "x", tags={"seed": 7, "strategies": "naive"}, params={})
    with running:
        tracking.end(uri, running.run_id, "KILLED")
        found = collect(uri=uri, experiment=name)
    assert seen(found) == {(job.cell, 0): last.run_id, (other.cell, 0): gone.run_id}
    assert [run.diverged for run in found.comparison.runs] == [False, True]
    assert found.notes == [
        "Left out: 2 earlier runs of the same cells and seeds.",
        "Left out: 1 run that did not end.",
    ]


def test_searches_and_parents_are_no_runs(uri, name):
    comparison = store_comparison(uri, TWO, [f"tracking.experiment={name}"])
    experiment = tracking.prepare(uri, name)
    with tracking.Run(uri, experiment, "tune", tags={"tune": "x", "strategies": "ewc"}, params={}) as search:
        pass
    with tracking.Run(uri, experiment, "trial 0", tags={}, params={}, parent_run_id=search.run_id):
        pass
    assert set(seen(collect(uri=uri, experiment=name)).values()) == {run.run_id for run in comparison.runs}


def test_a_filter_chooses_runs(uri, name):
    store_comparison(uri, TWO, [f"tracking.experiment={name}"])
    found = collect(uri=uri, experiment=name, condition="tags.seed = '1'")
    assert set(seen(found)) == {("naive", 1), ("joint", 1)}


def test_two_configurations_of_one_label_get_labels_that_tell_them_apart(uri, name):
    for lr in (0.25, 0.5):
        store_comparison(uri, TWO, [f"tracking.experiment={name}", f"learner.lr={lr}", "seeds=[0]"])
    store_comparison(uri, TWO, [f"tracking.experiment={name}", "cells=[[ewc]]", "seeds=[0]"])
    labels = {label for label, _ in seen(collect(uri=uri, experiment=name))}
    assert labels == {"naive (lr=0.25)", "naive (lr=0.5)", "joint (lr=0.25)", "joint (lr=0.5)", "ewc"}


def test_another_version_of_clep_makes_no_other_configuration(uri, name):
    """It may know more keys, of the learner or of a strategy; older runs have other tags."""
    first, second = jobs(uri, name, "cells=[[ewc]]")
    store_run(uri, first)
    config = compose(TWO, [f"tracking.uri={uri}", f"tracking.experiment={name}", "strategies=ewc", "seed=1"])
    params = tracking.flatten({"strategies": ["ewc"], "seed": 1, "strategy": {"ewc": {"ewc_lambda": 1.0}}})
    tags = {"seed": 1, "strategies": "ewc", "stream": "digits", "network": "hts_ep", "version": "0.0.1", "cell": "ewc"}
    with tracking.Run(uri, tracking.prepare(uri, name), "old", tags=tags, params=params) as old:
        import json

        old.text(json.dumps(result_of(second, uri).to_json()), "result.json")
    assert config.seed == 1
    assert set(seen(collect(uri=uri, experiment=name))) == {("ewc", 0), ("ewc", 1)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["stream=mnist"],
            r"^stream: expected the same in all runs, got .*`mnist` in 2 runs \(joint, naive\).*--mixed$",
        ),
        (["stream.experiences=2"], r"^stream\.experiences: expected the same"),
        (
            ["stream.evaluate_on=validation", "stream.validation_fraction=0.1"],
            r"^stream\.evaluate_on: expected the same",
        ),
    ],
)
def test_runs_on_different_data_are_refused_unless_it_is_wanted(uri, name, changes, message):
    for more in ([], changes):
        store_comparison(uri, TWO, [f"tracking.experiment={name}", "seeds=[0]", *more])
    with pytest.raises(ConfigError, match=message):
        collect(uri=uri, experiment=name)
    labels = [label for label, _ in seen(collect(uri=uri, experiment=name, mixed=True))]
    assert len(set(labels)) == 4
    assert all("(" in label for label in labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sizes": [50, 70]},
            r"^evaluation samples: expected the same in all runs, got `100` in 1 run \(naive\), `120`",
        ),
        ({"tags": {"class_order": "0,1,2,5"}}, r"^classes: expected the same in all runs, got `0,1,2,"),
    ],
)
def test_other_classes_and_other_test_sets_are_refused(uri, name, changes, message):
    first, second = jobs(uri, name)[:2]
    store_run(uri, first)
    store_run(uri, second, **changes)
    with pytest.raises(ConfigError, match=message):
        collect(uri=uri, experiment=name)


def test_the_same_classes_in_another_order_are_the_same(uri, name):
    first, second = jobs(uri, name)[:2]
    store_run(uri, first)
    store_run(uri, second, tags={"class_order": "3,1,2,0"})
    assert len(seen(collect(uri=uri, experiment=name))) == 2


def test_a_selection_that_finds_nothing_or_means_two_things_is_refused(uri, name, tmp_path):
    tracking.prepare(uri, name)
    with pytest.raises(ConfigError, match=r"^runs: .* has no run to report"):
        collect(uri=uri, experiment=name)
    with pytest.raises(ConfigError, match=r"^experiment: ids say already which runs"):
        collect(["abcd"], uri=uri, experiment=name)
    empty = f"sqlite:///{tmp_path}/empty.db"
    tracking.prepare(empty, "clep")
    with pytest.raises(ConfigError, match=r"^id: .* has no comparison"):
        collect(uri=empty)


# ---------------------------------------------------------------- results of earlier versions


def old_run(uri, name, means=None, *, consolidated=False):
    """A run as earlier versions left it, with the running mean of the accuracies since training as a metric."""
    (job,) = jobs(uri, name, "cells=[[naive]]", "seeds=[0]")
    result = store_run(uri, job, accuracy=0.25, **OLD)
    client = tracking.store.client_of(uri)
    for step, mean in enumerate(means or ()):
        client.log_metric(result.run_id, metric_names.ACCURACY_LEARNED_BEFORE, mean, step=step)
    if consolidated:
        client.log_metric(result.run_id, metric_names.SLEEP_ACCURACY_BEFORE, 0.5, step=0)
    return result


def test_what_was_learned_is_recovered_from_its_running_mean(uri, name):
    """R' = 0.75, 0.25 has the means 0.75, 0.5; the first is 0.25 at the end, so 0.5 of it is gone."""
    found = completed(uri, old_run(uri, name, [0.75, 0.5], consolidated=True))
    assert found.learned_in_training == pytest.approx(0.5)
    assert found.forgetting_since_training == pytest.approx(0.5)
    assert found.accuracy_before_consolidation == [[0.75, None], [None, 0.25]]


def test_without_consolidation_what_was_learned_is_the_diagonal_of_the_matrix(uri, name):
    found = completed(uri, old_run(uri, name))
    assert (found.learned_in_training, found.forgetting_since_training) == (1.0, 0.75)


def test_where_neither_tells_it_stays_unknown(uri, name):
    old = old_run(uri, name, consolidated=True)
    assert completed(uri, old) == old
    assert collect([str(old.run_id)], uri=uri).comparison.runs[0].forgetting_since_training is None


def test_what_is_known_stays(uri, name):
    (job,) = jobs(uri, name, "cells=[[naive]]", "seeds=[0]")
    known = store_run(uri, job)
    assert completed(uri, known) == known
    failed = Result("abc", "FAILED", uri, "digits", "ep", ["naive"], 0)
    assert completed(uri, failed) == failed


def test_the_means_of_any_accuracies_give_them_back():
    accuracies = [0.9, 0.3, 1.0, 0.0, 0.55]
    means = {j: sum(accuracies[: j + 1]) / (j + 1) for j in range(5)}
    assert learned_from(means, 5).tolist() == pytest.approx(accuracies)
    assert learned_from(means, 6) is None
