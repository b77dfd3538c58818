"""An empty store that is kept: a copy of it is what MLflow would have made, and a bad one is no hindrance."""

import sqlite3
from contextlib import closing

import pytest

from clep import tracking
from clep.tracking.blank import copy_blank, keep_blank

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("CLEP_CACHE", str(folder))
    return folder


def prepared(folder):
    folder.mkdir()
    path = folder / "mlflow.db"
    tracking.prepare(f"sqlite:///{path}", "clep")
    return path


def content(path):
    """All statements that make a database, without what differs between any two stores: place, times, order."""
    with closing(sqlite3.connect(path)) as database:
        times = [
            str(time)
            for row in database.execute("SELECT creation_time, last_update_time FROM experiments")
            for time in row
        ]
        lines = [line.replace(str(path.parent), "HERE") for line in database.iterdump()]
    for time in times:
        lines = [line.replace(time, "NOW") for line in lines]
    return sorted(lines)


def test_a_copy_is_what_mlflow_makes_to_the_last_statement_and_is_that_of_no_other_folder(cache, tmp_path):
    made = content(prepared(tmp_path / "first"))
    assert list(cache.glob("store-mlflow-*.db"))
    copied = content(prepared(tmp_path / "second"))
    assert copied == made
    assert any("HERE" in line for line in copied)


@pytest.fixture
def kept(cache, tmp_path):
    """A kept database, which is small and none of MLflow's."""
    with closing(sqlite3.connect(tmp_path / "small.db")) as database, database:
        database.execute("CREATE TABLE experiments (name TEXT)")
        database.execute("INSERT INTO experiments VALUES ('with the folder of its store')")
        database.execute("CREATE TABLE others AS SELECT * FROM experiments")
    keep_blank(tmp_path / "small.db")
    (kept,) = cache.iterdir()
    return kept


def test_a_kept_store_has_all_of_the_first_one_but_its_experiments(kept, tmp_path):
    assert copy_blank(tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy")) as database:
        counts = [database.execute(f"SELECT COUNT(*) FROM {table}").fetchone() for table in ("experiments", "others")]
    assert counts == [(0,), (1,)]


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path):
    path.write_bytes(b"no database" * 500)


@pytest.mark.parametrize("damage", [halved, overwritten])
def test_a_damaged_one_is_not_copied_but_removed(damage, kept, tmp_path):
    damage(kept)
    assert not copy_blank(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not kept.exists()


@pytest.mark.slow
def test_one_of_another_schema_is_no_hindrance_and_is_removed(cache, tmp_path):
    made = content(prepared(tmp_path / "first"))
    (kept,) = cache.iterdir()
    with closing(sqlite3.connect(kept)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'another'")
    assert content(prepared(tmp_path / "second")) == made
    assert not kept.exists()


def test_a_cache_that_cannot_be_written_is_done_without(cache, tmp_path):
    cache.write_text("a file where the folder should be")
    (tmp_path / "store").write_text("a store")
    keep_blank(tmp_path / "store")
    assert not copy_blank(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
