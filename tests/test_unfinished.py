"""What a run keeps on disk until it has ended."""

import errno

import pytest

from clep import tracking, unfinished
from clep.checkpoints import files
from clep.config import compose
from clep.errors import CheckpointWarning, ConfigError
from clep.identity import TAG


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{tmp_path}/mlflow.db"


def record(run_id, started=1.0, digest="abc", **more):
    config = unfinished.plain(compose(None, ["seed=3"]))
    return unfinished.Record(run_id, config, {TAG: digest}, "a run", {"tag": "x"}, None, started, **more)


def begun(uri, run_id, **options):
    folder = unfinished.Folder(uri, run_id)
    with folder.held(record(run_id, **options)):
        pass
    return folder


def test_a_record_comes_back_with_the_configuration_in_its_store(uri):
    folder = begun(uri, "0123")
    again = folder.record()
    assert again == record("0123")
    assert again.composed(uri, ["checkpoint.keep=all"]).seed == 3
    assert again.composed(uri).tracking.uri == uri


def test_runs_are_found_by_the_beginning_of_their_ids_the_latest_first(uri):
    for run_id, started in (("aa1", 1.0), ("aa2", 3.0), ("b", 2.0)):
        begun(uri, run_id, started=started)
    assert [each.run_id for _, each in unfinished.everything(uri)] == ["aa2", "b", "aa1"]
    assert unfinished.find("b", uri)[1].run_id == "b"
    assert unfinished.find("c", uri) is None
    with pytest.raises(ConfigError, match="2 runs begin with `aa`"):
        unfinished.find("aa", uri)


def test_a_job_goes_on_with_the_latest_run_of_its_identity_that_nobody_runs(uri):
    begun(uri, "old", started=1.0)
    begun(uri, "new", started=2.0)
    begun(uri, "fork", started=3.0, fork={"run_id": "old", "after": 1, "optimizer": True})
    held = unfinished.Folder(uri, "running")
    with held.held(record("running", started=4.0)):
        assert held.goes_on
        assert unfinished.by_identity(uri) == {"abc": "new"}
    assert not held.goes_on
    assert unfinished.by_identity(uri) == {"abc": "running"}


def test_a_finished_run_leaves_nothing_or_the_checkpoints_that_were_asked_for(uri, tmp_path):
    for keep, left in ((True, ["experience-0001.ckpt", "run.json"]), (False, None)):
        folder = begun(uri, "0123")
        for name in ("experience-0001.ckpt", "within-experience.ckpt", f"x{files.PARTIAL}"):
            (folder.path / name).touch()
        folder.clear(keep=keep)
        state = tracking.state_folder(uri)
        assert (sorted(p.name for p in folder.path.iterdir()) if state.exists() else None) == left


def test_a_full_disk_costs_no_run_and_is_said(uri, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "replace", full)
    folder, worked = unfinished.Folder(uri, "0123"), []
    with pytest.warns(CheckpointWarning, match="No space left on device.*it begins again"), folder.held(record("0123")):
        worked.append(True)
    assert worked
    assert folder.record() is None


def test_a_record_that_cannot_be_read_is_no_run_to_go_on_with(uri):
    folder = begun(uri, "0123")
    (folder.path / "run.json").write_text('{"run_id": ')
    assert unfinished.everything(uri) == []
