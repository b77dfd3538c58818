"""Addresses of stores, and the command that shows their runs."""

import shlex
from pathlib import Path

import pytest

from clep import tracking
from clep.errors import ConfigError


def test_the_default_store_is_an_absolute_sqlite_file_in_the_working_directory(tmp_path):
    assert tracking.tracking_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    assert f"sqlite:///{tmp_path}".startswith("sqlite:////")


def test_the_environment_variable_is_used_unless_an_address_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///from_env.db")
    assert tracking.tracking_uri(None) == f"sqlite:///{tmp_path}/from_env.db"
    assert tracking.tracking_uri("sqlite:///given.db") == f"sqlite:///{tmp_path}/given.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert tracking.tracking_uri(None) == "http://server:5000"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sqlite:///runs/x.db", "sqlite:///{here}/runs/x.db"),
        ("sqlite:///./x.db?timeout=9", "sqlite:///{here}/x.db?timeout=9"),
        ("sqlite:////elsewhere/x.db", "sqlite:////elsewhere/x.db"),
        ("sqlite:///~/x.db", "sqlite:///{home}/x.db"),
        ("sqlite+pysqlite:///x.db", "sqlite+pysqlite:///{here}/x.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("https://host/path", "https://host/path"),
    ],
)
def test_only_relative_sqlite_paths_are_rewritten(tmp_path, given, expected):
    assert tracking.tracking_uri(given) == expected.format(here=tmp_path, home=Path.home())


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(uri):
    with pytest.raises(ConfigError, match=r"tracking\.uri: expected the path of an SQLite file"):
        tracking.tracking_uri(uri)


def test_the_printed_ui_command_names_the_same_store_from_another_directory(store, tmp_path, monkeypatch):
    """The path holds spaces and a percent sign: unquoted, the shell would pass on something else."""
    relative = tracking.ui_command(tracking.tracking_uri("sqlite:///here.db"))
    assert relative == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/here.db"
    monkeypatch.chdir("/")
    assert shlex.split(tracking.ui_command(store)) == ["mlflow", "ui", "--backend-store-uri", store]
    assert tracking.ui_command("http://127.0.0.1:5000") == "http://127.0.0.1:5000"


def test_the_ui_command_hides_a_password():
    assert "secret" not in tracking.ui_command("postgresql://me:secret@host/db")
    assert tracking.ui_command("https://me:secret@host") == "https://me:***@host"
