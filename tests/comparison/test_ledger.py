"""What a store holds of a comparison."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clep import build, tracking
from clep.comparison import Cell, Ledger, plan
from clep.config import compose
from clep.results import FILE, Result
from tests.oracles.stores import empty_store


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return empty_store(tmp_path_factory.mktemp("ledger"))


@pytest.fixture
def store(uri, request):
    """An experiment of its own, since making a store takes long."""
    return uri, tracking.prepare(uri, request.node.name)


def record(store, tags, result, error=None):
    """A run in the store as a pipeline leaves it."""
    run = tracking.Run(*store, "a run", tags=tags | tracking.provenance(), params={})
    with run:
        run.text(json.dumps(result.to_json()), FILE)
    if error:
        tracking.end(store[0], run.run_id, "FAILED", error)
    return run.run_id


def test_a_finished_job_is_found_with_its_numbers_and_a_diverged_one_where_it_counts(store):
    done, gone, missing = plan(
        [(Cell(name), compose({}, [f"learner.lr={name}"])) for name in ("0.1", "0.2", "0.3")], [0]
    )
    before = Ledger(*store)
    assert [before.result(job) for job in (done, gone, missing)] == [None, None, None]
    result = Result.of(done.config, store[0], "abc", "FINISHED", accuracy=0.25)
    result = replace(result, run_id=record(store, before.tags(done), result))  # whatever the file says
    lost = record(store, before.tags(gone), result, error="DivergenceError: not finite")
    ledger = Ledger(*store)
    assert ledger.result(done) == result
    assert ledger.result(gone) is None
    assert ledger.result(missing) is None
    diverged = Ledger(*store, with_diverged=True).result(gone)
    assert (diverged.run_id, diverged.diverged, diverged.accuracy) == (lost, True, None)
    assert Ledger(*store, resume=False).result(done) is None


def test_a_table_names_the_code_of_every_result_once(store):
    jobs = plan([(Cell("a"), compose({}, []))], [0, 1])
    tags = Ledger(*store).tags(jobs[0]) | {"version": "0.0.1", "git_commit": "abc"}
    with tracking.Run(*store, "a run", tags=tags, params={}):
        pass
    code = Ledger(*store).code(jobs)
    assert len(code) == 2
    assert code[0] == "version 0.0.1, commit abc"


def jobs_of(*changes):
    changes = ["stream=npz", "stream.path=a.npz", "stream.experiences=2", *changes]
    return plan([(Cell("a"), compose({}, changes)), (Cell("b"), compose({}, [*changes, "learner.lr=0.5"]))], [0])


def save(level):
    x, y = np.full((4, 3), level), [0, 0, 1, 1]
    np.savez("a.npz", x_train=x, y_train=y, x_test=x, y_test=y)


def store_results(store, jobs):
    for job in jobs:
        record(store, Ledger(*store).tags(job), Result.of(job.config, store[0], "abc", "FINISHED", accuracy=0.25))


def found(ledger, jobs):
    return [ledger.result(job) is not None for job in jobs]


def test_results_of_other_data_do_not_count_and_are_counted_once(store):
    save(0.5)
    before = jobs_of()
    store_results(store, before)
    assert Ledger(*store).stale(before) == []
    save(0.25)
    now = jobs_of()
    ledger = Ledger(*store)
    assert found(ledger, now) == [False, False]
    (text,) = ledger.stale(now)
    assert text.startswith("data changed: a.npz, to learn from (was ")
    assert text.endswith("; 2 runs will be trained again")
    assert found(Ledger(*store, any_code=True), now) == [False, False]
    store_results(store, now[:1])
    ledger = Ledger(*store)
    assert found(ledger, now) == [True, False]
    assert ledger.stale(now)[0].endswith("; 1 run will be trained again")
    save(0.5)
    assert found(Ledger(*store), jobs_of()) == [True, True]


def test_results_of_other_code_count_only_if_asked_for_and_that_is_said(store, monkeypatch):
    save(0.5)
    store_results(store, jobs_of())
    monkeypatch.setattr(build, "own_code", lambda: "9.0+abc")
    jobs = jobs_of()
    ledger = Ledger(*store)
    assert found(ledger, jobs) == [False, False]
    (text,) = ledger.stale(jobs)
    assert text.startswith("code of clep changed (was ")
    assert text.endswith("; 2 runs will be trained again (tracking.reuse=any_code takes such results as they are)")
    assert ledger.taken_over(jobs) == ""
    ledger = Ledger(*store, any_code=True)
    assert found(ledger, jobs) == [True, True]
    assert ledger.stale(jobs) == []
    assert ledger.taken_over(jobs) == "2 of the results are of other code of clep (tracking.reuse=any_code)."


def test_results_of_versions_without_identities_are_unknown_and_said_so_once(store):
    save(0.5)
    jobs = jobs_of()
    older = {"claim_job": "0" * 32, "seed": 0, "stream": "npz"}
    ids = [
        record(store, older | {"claim_job": job.cell * 32, "cell": job.cell}, Result.of(job.config, "", "", "FINISHED"))
        for job in jobs
    ]
    ledger = Ledger(*store)
    assert found(ledger, jobs) == [False, False]
    (text,) = ledger.stale(jobs)
    assert text.startswith("stored results are of an earlier version")
    assert text.endswith("; 2 runs will be trained again")
    assert ledger.stale(plan([(Cell("c"), jobs[0].config)], [0])) == []
    known = [
        Result.of(job.config, store[0], id_, "FINISHED", cell=job.cell) for job, id_ in zip(jobs, ids, strict=True)
    ]
    assert found(Ledger(*store, known=known), jobs) == [False, False]
    assert found(Ledger(*store, known=known, any_code=True), jobs) == [True, True]


def test_a_run_counts_for_what_it_was_trained_on_not_for_what_was_planned(store):
    """The data may be replaced between the plan and the run."""
    save(0.5)
    planned = jobs_of()
    tags = [Ledger(*store).tags(job) for job in planned]
    save(0.25)
    trained = jobs_of()
    for job, tag in zip(trained, tags, strict=True):
        result = Result.of(job.config, store[0], "abc", "FINISHED", accuracy=0.25)
        record(store, tag | job.identity.tags, result)
    assert found(Ledger(*store), planned) == [False, False]
    assert found(Ledger(*store), trained) == [True, True]


def test_known_results_of_a_comparison_count_only_for_the_same_data(store):
    save(0.5)
    jobs = jobs_of()
    store_results(store, jobs)
    ids = {run.tags["cell"]: run.run_id for run in tracking.runs_of(store[0]) if run.experiment_id == store[1]}
    known = [Result.of(job.config, store[0], ids[job.cell], "FINISHED", cell=job.cell, accuracy=0.75) for job in jobs]
    ledger = Ledger(*store, known=known)
    assert [ledger.result(job) for job in jobs] == known
    assert ledger.reused
    gone = [replace(result, run_id="0" * 32) for result in known]
    assert [Ledger(*store, known=gone).result(job).accuracy for job in jobs] == [0.25, 0.25]
    save(0.25)
    assert found(Ledger(*store, known=known), jobs_of()) == [False, False]
