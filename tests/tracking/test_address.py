"""Addresses of stores, and the command that shows their runs."""

import shlex
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from clep import tracking
from clep.cli import parse
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


def test_the_printed_ui_command_works_where_it_was_printed(store):
    """Without an option for the store that is meant by default; the path of the other holds spaces and a percent."""
    assert tracking.ui_command(tracking.tracking_uri(None), "0123") == "clep ui 0123"
    words = shlex.split(tracking.ui_command(store, "0123"))
    assert words == ["clep", "ui", "0123", "--tracking", store]
    parsed = parse(words[1:])
    assert (parsed.items, parsed.tracking) == (["0123"], store)


def test_the_ui_command_knows_the_environment(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking.ui_command("http://127.0.0.1:5000", "0123") == "clep ui 0123"


def test_the_ui_command_hides_a_password():
    assert "secret" not in tracking.ui_command("postgresql://me:secret@host/db", "0123")
    assert tracking.ui_command("https://me:secret@host", "") == "clep ui --tracking 'https://me:***@host'"


def fields_of(link):
    """The route of a link within the UI, and its fields."""
    route, _, query = link.partition("?")
    return route, {key: value for key, [value] in parse_qs(query, strict_parsing=True).items()}


def test_links_open_on_the_charts_of_runs_and_not_on_traces():
    shown = {"workflowType": "machine_learning", "compareRunsMode": "CHART"}
    assert fields_of(tracking.charts_link("3")) == ("#/experiments/3/runs", shown)
    assert fields_of(tracking.charts_link("3", "tags.a = 'b c'"))[1] == {**shown, "searchFilter": "tags.a = 'b c'"}
    assert fields_of(tracking.run_link("3", "0123")) == (
        "#/experiments/3/runs/0123",
        {"workflowType": "machine_learning"},
    )


def test_a_link_names_a_view_or_a_filter_but_not_both():
    """MLflow ignores the view if any field of the search is in the link."""
    fields = fields_of(tracking.charts_link("3", "tags.a = 'b'", view="key"))[1]
    assert fields["viewStateShareKey"] == "key"
    assert "searchFilter" not in fields
