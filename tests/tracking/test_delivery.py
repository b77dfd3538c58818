"""What a run records reaches its store exactly once, whatever the store does meanwhile.

The oracle is a store in memory whose nth call fails, before or after it took effect: in the end it must hold what it
holds of an undisturbed run.
"""

import copy
import json
import os
import signal
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clep import interrupts, tracking
from clep.cli import main
from clep.errors import ConfigError
from clep.tracking import delivery, entries

from .runs import new_run, points

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 in SQLAlchemy 2.1


class Store:
    """A store in memory with the calls of MLflow's client that a run makes. Unlike MLflow's, it keeps every metric it
    is sent, so that one sent twice is seen."""

    def __init__(self):
        self.runs, self.experiment, self.models = {}, {}, []
        self.calls, self.down, self.fails = 0, False, lambda call: ""

    def __getattr__(self, name):
        act = getattr(type(self), f"_{name}")

        def call(*arguments, **named):
            self.calls += 1
            how = "before" if self.down else self.fails(self.calls)
            if how == "before":
                raise ConnectionError("down")
            answer = act(self, *arguments, **named)
            if how == "after":
                raise ConnectionError("the answer was lost")
            return answer

        return call

    def _create_run(self, experiment_id, start_time, tags, run_name):
        run_id = f"run{len(self.runs)}"
        self.runs[run_id] = {"name": run_name, "tags": dict(tags), "metrics": [], "params": {}, "files": {}}
        self.runs[run_id] |= {"inputs": set(), "status": "RUNNING"}
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def _search_runs(self, experiments, condition):
        key = condition.split("'")[1]
        found = [run_id for run_id, run in self.runs.items() if run["tags"][entries.CREATED] == key]
        return [SimpleNamespace(info=SimpleNamespace(run_id=run_id)) for run_id in found]

    def _log_batch(self, run_id, metrics, params, synchronous):
        self.runs[run_id]["metrics"] += [(each.key, each.value, each.step, each.timestamp) for each in metrics]
        self.runs[run_id]["params"] |= {each.key: each.value for each in params}

    def _get_metric_history(self, run_id, key):
        names = "key", "value", "step", "timestamp"
        found = [point for point in self.runs[run_id]["metrics"] if point[0] == key]
        return [SimpleNamespace(**dict(zip(names, point, strict=True))) for point in found]

    def _log_artifacts(self, run_id, folder):
        paths = [path for path in Path(folder).rglob("*") if path.is_file()]
        self.runs[run_id]["files"] |= {str(path.relative_to(folder)): path.read_text() for path in paths}

    def _log_artifact(self, run_id, path):
        self.runs[run_id]["files"][Path(path).name] = Path(path).read_text()

    def _log_text(self, run_id, text, name):
        self.runs[run_id]["files"][name] = text

    def _log_inputs(self, run_id, inputs):
        self.runs[run_id]["inputs"] |= {each.dataset.digest for each in inputs}

    def _set_tag(self, run_id, key, value):
        self.runs[run_id]["tags"][key] = value

    def _set_experiment_tag(self, experiment_id, key, value):
        self.experiment[key] = value

    def _set_terminated(self, run_id, status, end_time):
        self.runs[run_id]["status"] = status

    def _get_run(self, run_id):
        return SimpleNamespace(info=SimpleNamespace(artifact_uri=f"/{run_id}"))

    def _create_registered_model(self, name):
        pass

    def _search_model_versions(self, condition):
        return [model for model in self.models if f"'{model[0]}'" in condition and f"'{model[1]}'" in condition]

    def _create_model_version(self, name, source, run_id, await_creation_for):
        self.models.append((name, run_id))

    def contents(self):
        """Everything but times and the key of each run."""
        runs = copy.deepcopy(list(self.runs.values()))
        for run in runs:
            run["metrics"] = [point[:3] for point in run["metrics"]]
            run["tags"].pop(entries.CREATED)
        return runs, self.experiment, [name for name, _ in self.models]


@pytest.fixture
def memory(monkeypatch):
    """Every client is that of one store in memory, and a run looks for it at each entry."""
    stores = [Store()]
    monkeypatch.setattr(delivery, "client_of", lambda uri: stores[0])
    monkeypatch.setattr(delivery, "trouble", lambda uri, seconds=0: "down" if stores[0].down else "")
    monkeypatch.setattr(delivery, "_SECONDS_BETWEEN_TRIES", 0)
    return stores


URI = "http://store"


def record(folder):
    """A run that uses everything."""
    folder.mkdir(exist_ok=True)
    (folder / "table.txt").write_text("1 2 3")
    data = [tracking.Input("mine", "training", "1a2b", np.zeros((2, 2)), np.arange(2))]
    run = tracking.Run(URI, "0", "a run", tags={"t": 1}, params={"p": 2}, parent_run_id="parent")
    with run:
        run.text("seed: 0", "config.yaml")
        run.inputs(data)
        for step in range(3):
            run.log({"a": step, "b": 2.5}, step)
            run.flush()
        run.artifacts(folder)
        run.describe("It went well.")
        run.tag_experiment("view", "all")
        run.artifact(folder / "table.txt")
        run.register("my-learner", "model")
        run.log({"final": 1.0}, 0)
    return run


def undisturbed(tmp_path, stores):
    record(tmp_path / "files")
    expected, stores[0] = stores[0], Store()
    return expected


def journals():
    return list(Path("clep-state").glob("*/*")) if Path("clep-state").exists() else []


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_store_that_fails_at_any_one_call_holds_the_same_in_the_end(memory, tmp_path, how, capsys):
    expected = undisturbed(tmp_path, memory)
    assert expected.calls == 16
    for number in range(1, expected.calls + 1):
        store = memory[0] = Store()
        store.fails = lambda call, number=number: how if call == number else ""
        run = record(tmp_path / "files")
        assert store.contents() == expected.contents(), number
        assert (run.run_id, run.undelivered, journals()) == ("run0", 0, [])
        assert "goes on" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_store_that_goes_away_at_any_call_is_made_whole_by_a_sync(memory, tmp_path, how, capsys):
    expected = undisturbed(tmp_path, memory)
    for number in range(1, expected.calls + 1):
        store = memory[0] = Store()

        def fails(call, number=number, store=store):
            store.down = store.down or call >= number
            return how if call == number else "before" if call > number else ""

        store.fails = fails
        run = record(tmp_path / "files")
        said = capsys.readouterr().err
        assert said.count("clep sync tracking.uri=http://store") == 2, said
        assert run.undelivered == 0  # by now the journal is another's
        assert tracking.undelivered(URI) == [run.run_id]
        assert tracking.sync(URI).left == {run.run_id: "down"}
        store.down, store.fails = False, lambda call: ""
        done = tracking.sync(URI)
        assert (done.delivered, done.failed) == (["run0"], False)
        assert store.contents() == expected.contents(), number
        assert (tracking.undelivered(URI), journals()) == ([], [])
        assert tracking.sync(URI).to_text() == "Nothing waits for delivery."


def test_a_sync_leaves_alone_what_a_finished_run_was_asked_to_keep(memory, tmp_path):
    store = memory[0]
    store.down = True
    run = record(tmp_path / "files")
    kept = Path("clep-state", run.run_id, "experience-0001.ckpt")
    kept.touch()
    store.down = False
    assert not tracking.sync(URI).failed
    assert journals() == [kept]


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_sync_that_is_itself_cut_at_any_call_delivers_nothing_twice(memory, tmp_path, how):
    expected = undisturbed(tmp_path, memory)
    for number in range(1, 30):
        store = memory[0] = Store()
        store.down = True
        record(tmp_path / "files")
        store.down, store.calls = False, 0
        store.fails = lambda call, number=number: how if call == number else ""
        while tracking.sync(URI).failed:
            pass
        assert store.contents() == expected.contents(), number


def test_a_sync_that_was_killed_before_it_noted_an_answer_delivers_nothing_twice(memory, tmp_path, monkeypatch):
    from clep.tracking.journal import Journal

    expected = undisturbed(tmp_path, memory)
    store = memory[0]
    store.down = True
    record(tmp_path / "files")
    store.down = False
    note, notes = Journal._write_cursor, []

    def killed_now_and_then(self):
        notes.append(1)
        if len(notes) % 2:
            raise KeyboardInterrupt
        note(self)

    monkeypatch.setattr(Journal, "_write_cursor", killed_now_and_then)
    for _ in range(100):
        try:
            tracking.sync(URI)
            break
        except KeyboardInterrupt:
            continue
    assert store.contents() == expected.contents()
    assert len(notes) > 20


# ---------------------------------------------------------------- a real store


def lock(uri):
    """Another program that writes to an SQLite store and does not finish until it is closed."""
    database = sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    return database


def test_an_interrupt_after_a_momentary_lock_leaves_no_run_that_seems_to_go_on(store, experiment, client, impatient):
    def stopped(run):
        with run:
            other = lock(store)
            run.log_series("a", [1.0], [0])
            run.flush()
            assert run.undelivered > 0
            other.close()
            os.kill(os.getpid(), signal.SIGINT)

    run = new_run(store, experiment, "stopped")
    with interrupts.listening(), pytest.raises(KeyboardInterrupt):
        stopped(run)
    assert tracking.undelivered(store) == []
    assert contents(client, run.run_id)[:2] == ("KILLED", {"a": [(0, 1.0)]})


def contents(client, run_id):
    run = client.get_run(run_id)
    found = {name: points(client, run_id, name) for name in run.data.metrics}
    inputs = {each.dataset.digest for each in run.inputs.dataset_inputs}
    files = {file.path for file in client.list_artifacts(run_id)}
    return run.info.status, found, run.data.params, inputs, files


@pytest.fixture
def impatient(monkeypatch):
    from clep.tracking import trouble

    monkeypatch.setattr(trouble, "_LOCK_SECONDS", 0.05)


@pytest.mark.parametrize("locked", ["meanwhile", "until after its end", "from its beginning"])
@pytest.mark.usefixtures("impatient")
def test_a_locked_file_costs_a_run_nothing(store, experiment, client, tmp_path, capsys, locked):
    """A run that cannot be created, as that of a cell whose comparison has begun, gets its id when it is delivered."""
    (tmp_path / "table.txt").write_text("1 2 3")
    data = [tracking.Input("mine", "training", "1a2b", np.zeros((2, 2)), np.arange(2))]

    def fill(run):
        run.log_series("a", [1.0, 2.0, 2.0], [0, 1, 2])
        run.flush()
        run.inputs(data)
        run.text("seed: 0", "config.yaml")
        run.artifact(tmp_path / "table.txt")

    with new_run(store, experiment, "undisturbed", params={"p": 1}) as undisturbed:
        fill(undisturbed)
    run = new_run(store, experiment, "disturbed", params={"p": 1}, parent=undisturbed.run_id)
    other = lock(store) if locked == "from its beginning" else None
    with run:
        other = other or lock(store)
        fill(run)
        assert run.undelivered > 3
        if locked == "meanwhile":
            other.close()
    other.close()
    said = capsys.readouterr().err
    assert "database is locked" in said
    assert len(said.splitlines()) == 2
    if locked != "meanwhile":
        assert "clep sync" in said.splitlines()[1]
        assert tracking.undelivered(store) == [run.run_id]
        assert tracking.sync(store, run.run_id[:8]).left == {}
    assert tracking.undelivered(store) == []
    found = client.search_runs([experiment], "tags.`mlflow.runName` = 'disturbed'")
    assert [contents(client, each.info.run_id) for each in found] == [contents(client, undisturbed.run_id)]


def test_a_server_that_is_down_is_refused_within_seconds():
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"^tracking\.uri: the MLflow server `http://127.*` does not answer"):
        tracking.prepare("http://127.0.0.1:9", "clep")
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "command", ["resume", "fork 0123 --after 1", "reproduce adaptation_mnist", "tune", "run", "compare"]
)
def test_every_command_refuses_a_database_that_is_down_before_it_loads_anything(command, tmp_path, capsys):
    """MLflow would try for 100 s to connect."""
    pytest.importorskip("psycopg2", reason="psycopg2-binary is not installed (the extra `dev` has it)")
    started = time.monotonic()
    words = [*command.split(), "tracking.uri=postgresql+psycopg2://clep:secret@127.0.0.1:9/clep"]
    assert main(words) == 2
    assert time.monotonic() - started < 5
    said = capsys.readouterr().err
    assert said.startswith("clep: error: tracking.uri: the database `postgresql+psycopg2://clep:***@127.0.0.1:9/clep`")


def test_the_journal_names_the_store_without_its_password(memory, tmp_path):
    memory[0].down = True
    place = "http://user:secret@store"
    with tracking.Run(place, "0", "a run", tags={}, params={}, parent_run_id="parent") as run:
        run.log({"a": 1.0}, 0)
    (written,) = Path("clep-state").glob("*/journal.jsonl")
    assert "secret" not in written.read_text()
    assert json.loads(written.read_text().splitlines()[0])["store"] == "http://user:***@store"
    assert tracking.undelivered("http://other") == []
    memory[0].down = False
    assert tracking.sync(place).delivered == ["run0"]


def test_a_disk_that_takes_nothing_is_no_error_and_what_waits_is_delivered_from_memory(memory, monkeypatch, capsys):
    """As long as the run goes on; afterwards it says that nothing is left."""
    Path("clep-state").write_text("a file where a folder should be")
    store = memory[0]
    with tracking.Run(URI, "0", "a run", tags={}, params={}, parent_run_id="parent") as run:
        store.down = True
        run.log({"a": 1.0}, 0)
        run.flush()
        assert run.undelivered == 1
        store.down = False
        run.log({"a": 2.0}, 1)
        run.flush()
        assert run.undelivered == 0
        store.down = True
        run.log({"a": 3.0}, 2)
    assert [point[1] for point in store.runs["run0"]["metrics"]] == [1.0, 2.0]
    assert "is nowhere: the disk takes nothing" in capsys.readouterr().err
