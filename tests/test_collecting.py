"""The garbage collector while a command starts: seldom at work, and as before when training begins."""

import gc

import pytest
from clep.pipelines import class_incremental

from clep import cli, collecting
from clep.config import compose
from tests.oracles.stores import empty_store


@pytest.fixture(autouse=True)
def _nothing_is_frozen():
    """As in a process that starts."""
    gc.unfreeze()
    yield
    gc.freeze()


def test_in_the_start_of_a_command_garbage_is_collected_seldom_and_afterwards_as_before():
    usual = gc.get_threshold()
    with collecting.seldom():
        assert gc.get_threshold()[0] > 100 * usual[0]
        with collecting.seldom():
            pass
        assert gc.get_threshold()[0] > 100 * usual[0]  # what is within does not end it
        collecting.as_usual()
        assert gc.get_threshold() == usual
    assert gc.get_threshold() == usual


def test_outside_of_the_start_of_a_command_nothing_is_kept_from_the_collector():
    before = gc.get_freeze_count()
    collecting.libraries_are_loaded()
    assert gc.get_freeze_count() == before
    with collecting.seldom():
        collecting.libraries_are_loaded()
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0


def test_what_a_caller_has_frozen_stays_so():
    """A notebook or a test that calls a command would look at all libraries again at every collection."""
    gc.freeze()
    frozen = gc.get_freeze_count()
    with collecting.seldom():
        kept = [[] for _ in range(100)]
        collecting.libraries_are_loaded()
        assert gc.get_freeze_count() == frozen
    assert len(kept) == 100
    assert gc.get_freeze_count() == frozen


def test_a_command_trains_with_the_collector_as_it_was(monkeypatch):
    usual, seen = gc.get_threshold(), {}

    def build(config):
        seen["start"] = gc.get_threshold()
        raise KeyboardInterrupt

    monkeypatch.setattr(class_incremental, "build_stream", build)
    assert cli.main(["run", "strategies=naive"]) == 130
    assert seen["start"][0] > 100 * usual[0]
    assert gc.get_threshold() == usual


def test_training_begins_with_the_collector_as_it_was(monkeypatch, tmp_path):
    """Lightning's trainer and its module refer to each other: data of a run would stay in memory for long."""
    usual = gc.get_threshold()

    class Stop(Exception):
        pass

    def resume(*arguments, **keywords):
        assert gc.get_threshold() == usual
        raise Stop

    monkeypatch.setattr("clep.training.Training.resume", resume)
    run = compose(overrides=["stream.samples_per_experience=16", f"tracking.uri={empty_store(tmp_path)}"])
    with pytest.raises(Stop), collecting.seldom():
        class_incremental.run(run)
