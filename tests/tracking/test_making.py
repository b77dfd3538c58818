"""A store is made whole or not at all, whatever happens meanwhile."""

import multiprocessing
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clep import tracking
from clep.errors import ConfigError
from clep.tracking import locking

from .runs import new_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


def record(uri):
    with new_run(uri, tracking.prepare(uri, "clep")) as run:
        run.log({"a": 1.0}, 0)
    return run.run_id


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_what_a_dead_maker_left_is_no_hindrance_and_is_removed(tmp_path):
    """An empty file is what SQLite leaves that was killed before its first write."""
    for name in ("mlflow.db", "mlflow.db.making-1", "mlflow.db.making-1-journal"):
        (tmp_path / name).write_bytes(b"" if name == "mlflow.db" else b"half a store")
    assert record(tracking.tracking_uri(None))
    assert names(tmp_path) == {"mlflow.db", "mlflow.db.lock"}


def test_until_a_store_is_whole_there_is_none(tmp_path, monkeypatch):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    seen = []

    def fails(self, uri, *arguments):
        Path(uri.removeprefix("sqlite:///")).write_bytes(b"half a store")
        seen.append(names(tmp_path))
        raise OSError("No space left on device")

    monkeypatch.setattr(SqlAlchemyStore, "__init__", fails)
    with pytest.raises(ConfigError, match="No space left"):
        tracking.prepare(tracking.tracking_uri(None), "clep")
    assert "mlflow.db" not in seen[0]
    assert names(tmp_path) == {"mlflow.db.lock"}


def test_the_database_of_another_program_stays_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
    database.close()
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(ConfigError, match=r"tracking\.uri: .* another program"):
        tracking.prepare(tracking.tracking_uri(None), "clep")
    assert (tmp_path / "mlflow.db").read_bytes() == before


def _hold(path, holding, release):
    with locking.locked(path, "it", patience=1):
        holding.set()
        release.wait(30)


def test_who_waits_for_a_lock_says_so_and_who_holds_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(locking, "_TELL_SECONDS", 0.1)
    context = multiprocessing.get_context("fork")
    holding, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "mlflow.db", holding, release))
    holder.start()
    holding.wait(30)
    with (
        pytest.raises(locking.Held, match=f"process {holder.pid} on .* has held the lock of the store"),
        locking.locked(tmp_path / "mlflow.db", "the store", patience=0.6),
    ):
        pytest.fail("the lock is held")
    assert f"waiting for the store, which process {holder.pid}" in capsys.readouterr().err
    release.set()
    holder.join()
    with locking.locked(tmp_path / "mlflow.db", "it", patience=0):
        pass


MAKE = "import sys; from clep import tracking; tracking.prepare(tracking.tracking_uri(None), 'clep')"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_store_whose_making_was_stopped_at_any_moment_is_made_by_the_next_run(tmp_path, number):
    """The moments are counted from the first trace of the store, which appears seconds after the process."""
    moments = random.Random(0)
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        maker = subprocess.Popen([sys.executable, "-c", MAKE], cwd=folder, stderr=subprocess.DEVNULL)
        while not names(folder):
            assert maker.poll() is None
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 2.5))
        maker.send_signal(number)
        maker.wait(timeout=60)
        assert record(f"sqlite:///{folder}/mlflow.db")
        assert names(folder) == {"mlflow.db", "mlflow.db.lock"}


@pytest.mark.slow
def test_a_store_that_could_not_be_made_on_a_full_disk_is_made_once_there_is_space(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    try:
        uri = f"sqlite:///{disk}/mlflow.db"
        with pytest.raises(ConfigError, match=r"tracking\.uri: .*(full|space)"):
            tracking.prepare(uri, "clep")
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert record(uri)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
