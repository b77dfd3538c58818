"""What a store holds of a comparison."""

import json

import pytest

from clep import tracking
from clep.comparison import Cell, Ledger, plan
from clep.config import compose
from clep.results import FILE, Result
from tests.oracles.stores import empty_store


@pytest.fixture
def store(tmp_path):
    uri = empty_store(tmp_path)
    return uri, tracking.prepare(uri, "clep")


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
    record(store, before.tags(done), result)
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
