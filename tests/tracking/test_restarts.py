"""Many writers while what stores their runs is killed, stopped and started again at random moments: in the end it holds
every point of every run, each once."""

import multiprocessing
import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import pytest

from clep import tracking

from .runs import new_run, points, text_of
from .servers import MlflowServer, Postgres

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow 3.17 in SQLAlchemy 2.1
]
_POINTS = 150  # of each writer


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as running:
        yield running


def _write(uri, experiment, parent, number, seconds, barrier, results):
    from clep.tracking import delivery

    delivery._SECONDS_BETWEEN_TRIES = 0.5
    barrier.wait()
    try:
        with new_run(uri, experiment, f"writer {number}", params={"number": number}, parent=parent) as run:
            for step in range(_POINTS):
                run.log({"a": number + step}, step)
                run.flush()
                time.sleep(seconds / _POINTS)
            run.text(f"I am {number}.", "note.txt")
        results.put("")
    except BaseException as error:
        results.put(repr(error))


class Writers:
    """Processes that write a run each, all of one parent, at the same time and for `seconds` at least."""

    def __init__(self, uri, name, count, seconds=15):
        self.uri, self.experiment, self.count = uri, tracking.prepare(uri, name), count
        with new_run(uri, self.experiment, "parent") as parent:
            self.parent = parent.run_id
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "clep.tracking"])
        barrier, self.results = context.Barrier(count + 1), context.Queue()
        shared = uri, self.experiment, self.parent
        jobs = [(*shared, number, seconds, barrier, self.results) for number in range(count)]
        self.processes = [context.Process(target=_write, args=job) for job in jobs]
        for process in self.processes:
            process.start()
        barrier.wait(120)

    def check(self):
        """Nobody failed, and after a sync the store holds what everybody wrote."""
        from mlflow import MlflowClient

        assert [self.results.get(timeout=300) for _ in self.processes] == [""] * self.count
        for process in self.processes:
            process.join()
        print(f"{len(tracking.undelivered(self.uri))} of {self.count} runs wait for a sync")
        assert tracking.sync(self.uri).failures == []
        client = MlflowClient(tracking_uri=self.uri)
        runs = client.search_runs([self.experiment], f"tags.mlflow.parentRunId = '{self.parent}'")
        found = {int(run.data.params["number"]): run for run in runs}
        assert sorted(int(run.data.params["number"]) for run in runs) == list(range(self.count))
        for number, run in found.items():
            assert run.info.status == "FINISHED"
            assert points(client, run.info.run_id, "a") == [(step, number + step) for step in range(_POINTS)]
            assert text_of(self.uri, run.info.run_id, "note.txt") == f"I am {number}."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("through", ["mlflow server", "the database itself"])
def test_a_database_that_is_restarted_under_four_writers_loses_and_doubles_nothing(postgres, tmp_path, number, through):
    moments, name = random.Random(int(number)), f"{number.name.lower()}_{through.replace(' ', '_')}"
    database = postgres.empty_database(name)
    with MlflowServer(tmp_path, database) if through == "mlflow server" else nullcontext() as server:
        writers = Writers(server.uri if server else database, name, 4)
        for _ in range(3):
            time.sleep(moments.uniform(0, 3))
            postgres.stop(number)
            time.sleep(moments.uniform(0, 3))
            postgres.start()
        writers.check()


def test_a_database_that_hangs_under_four_writers_loses_and_doubles_nothing(postgres):
    moments, database = random.Random(0), postgres.empty_database("hangs")
    writers = Writers(database, "hangs", 4)
    for _ in range(3):
        time.sleep(moments.uniform(0, 2))
        postgres.send(signal.SIGSTOP)
        time.sleep(moments.uniform(0, 8))
        postgres.send(signal.SIGCONT)
    writers.check()


def test_a_server_that_is_killed_and_stopped_at_random_moments_under_eight_writers_loses_and_doubles_nothing(
    postgres, tmp_path
):
    moments = random.Random(0)
    with MlflowServer(tmp_path, postgres.empty_database("random")) as server:
        writers = Writers(server.uri, "random", 8, seconds=40)
        for number in (signal.SIGKILL, signal.SIGSTOP) * 3:
            time.sleep(moments.uniform(0, 2))
            server.send(number)
            time.sleep(moments.uniform(0, 8))
            server.start() if number == signal.SIGKILL else server.send(signal.SIGCONT)
        writers.check()


def test_four_commands_at_once_on_an_empty_database_all_succeed(postgres, tmp_path):
    uri = postgres.empty_database("commands")
    words = ["stream.samples_per_experience=64", "network.hidden=[32]", "learner.epochs=1", f"tracking.uri={uri}"]
    command = [sys.executable, "-m", "clep", "run", *words]
    started = [
        subprocess.Popen([*command, f"seed={seed}"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for seed in range(4)
    ]
    said = [process.communicate(timeout=300)[0].decode() for process in started]
    assert [process.returncode for process in started] == [0] * 4, said
    assert sorted(run.tags["seed"] for run in tracking.runs_of(uri)) == list("0123")
    assert {run.status for run in tracking.runs_of(uri)} == {"FINISHED"}
