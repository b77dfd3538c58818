"""A project folder that was moved or copied: artifacts are found beside the store, and new ones go there."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from clep import tracking
from clep.errors import ConfigError

from .runs import new_run, text_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A project folder `old` with one run; copied by the tests, since MLflow takes seconds to make a store."""
    folder = tmp_path_factory.mktemp("a place") / "old"
    uri = f"sqlite:///{folder}/mlflow.db"
    with new_run(uri, tracking.prepare(uri, "clep"), tags={"key": "first"}) as run:
        run.text("from before", "note.txt")
    return folder, run.run_id


@pytest.fixture
def project(original, tmp_path):
    """That folder under a path of this test, as it was made there: the old folder, the id of its run."""
    folder, run_id = original
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    rewrite(old, str(folder), str(old))
    return old, run_id


def rewrite(folder, old, new):
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for table, column in ("experiments", "artifact_location"), ("runs", "artifact_uri"):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))


def uri_of(folder):
    return f"sqlite:///{folder}/mlflow.db"


def log_a_run(folder):
    uri = uri_of(folder)
    with new_run(uri, tracking.prepare(uri, "clep")) as run:
        run.text("from after", "note.txt")
    return run.run_id


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_moved_project_is_read_and_written_in_its_new_place(project, tmp_path):
    old, run_id = project
    new = tmp_path / "new"
    shutil.move(old, new)
    assert text_of(uri_of(new), run_id, "note.txt") == "from before"
    later = log_a_run(new)
    assert not old.exists()
    assert (new / "mlartifacts" / later / "artifacts" / "note.txt").read_text() == "from after"
    assert text_of(uri_of(new), run_id, "note.txt") == "from before"


def test_mlflow_itself_finds_the_artifacts_after_the_next_command(project, tmp_path):
    from mlflow import MlflowClient

    old, run_id = project
    new = tmp_path / "new"
    shutil.move(old, new)
    tracking.prepare(uri_of(new), "clep")
    client = MlflowClient(tracking_uri=uri_of(new))
    assert [file.path for file in client.list_artifacts(run_id)] == ["note.txt"]
    assert client.get_run(run_id).info.artifact_uri == str(new / "mlartifacts" / run_id / "artifacts")


def test_a_copy_leaves_the_original_as_it_is(project, tmp_path):
    old, run_id = project
    copy = tmp_path / "copy"
    shutil.copytree(old, copy)
    before = contents(old)
    log_a_run(copy)
    (copy / "mlartifacts" / run_id / "artifacts" / "note.txt").write_text("changed in the copy")
    assert text_of(uri_of(copy), run_id, "note.txt") == "changed in the copy"
    assert contents(old) == before
    assert text_of(uri_of(old), run_id, "note.txt") == "from before"


def test_the_old_place_need_not_be_writable(project, tmp_path):
    """Like /home/USER of another machine; here a file is in its way."""
    old, run_id = project
    new = tmp_path / "new"
    shutil.move(old, new)
    old.write_text("in the way")
    assert text_of(uri_of(new), run_id, "note.txt") == "from before"
    assert text_of(uri_of(new), log_a_run(new), "note.txt") == "from after"


def test_reading_changes_nothing_in_a_store_that_was_moved(project, tmp_path):
    old, run_id = project
    new = tmp_path / "new"
    shutil.move(old, new)
    before = contents(new)
    text_of(uri_of(new), run_id, "note.txt")
    assert contents(new) == before


def test_a_store_that_was_copied_without_its_artifacts_still_reads_the_original_ones(project, tmp_path):
    old, run_id = project
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(old / "mlflow.db", alone)
    before = contents(old)
    later = log_a_run(alone)
    assert (alone / "mlartifacts" / later).is_dir()
    assert contents(old) == before
    assert text_of(uri_of(alone), run_id, "note.txt") == "from before"


def test_the_same_folder_by_another_name_was_not_moved(project, tmp_path):
    old, _ = project
    link = tmp_path / "link"
    link.symlink_to(old)
    before = contents(old)["mlflow.db"]
    tracking.prepare(uri_of(link), "clep")
    assert contents(old)["mlflow.db"] == before


def test_artifacts_that_the_user_put_elsewhere_stay_there(project, tmp_path):
    from mlflow import MlflowClient

    old, _ = project
    elsewhere = tmp_path / "disk" / "mlartifacts"
    MlflowClient(tracking_uri=uri_of(old)).create_experiment("mine", str(elsewhere))
    new = tmp_path / "new"
    shutil.move(old, new)
    experiment = tracking.prepare(uri_of(new), "mine")
    found = MlflowClient(tracking_uri=uri_of(new)).get_experiment(experiment)
    assert found.artifact_location == str(elsewhere)


def test_a_running_run_keeps_its_place(project, tmp_path):
    """A process in a container may know the same folder under another path, and still writes there."""
    from mlflow import MlflowClient

    old, _ = project
    running = new_run(uri_of(old), tracking.prepare(uri_of(old), "clep")).__enter__()
    running.text("", "note.txt")
    new = tmp_path / "new"
    shutil.copytree(old, new)
    tracking.prepare(uri_of(new), "clep")
    found = MlflowClient(tracking_uri=uri_of(new)).get_run(running.run_id)
    assert found.info.artifact_uri == str(old / "mlartifacts" / running.run_id / "artifacts")


def test_an_artifact_that_is_in_neither_place_is_refused(project, tmp_path):
    old, run_id = project
    new = tmp_path / "new"
    shutil.move(old, new)
    shutil.rmtree(new / "mlartifacts")
    with pytest.raises(ConfigError, match=r"`note\.txt` of run"):
        text_of(uri_of(new), run_id, "note.txt")
