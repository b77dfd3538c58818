"""`clep resume`: a run that was stopped ends as if it had not been, in its own MLflow run."""

import json
import os
import random
import re
import shutil
import signal
import time
import traceback

import pytest
from clep.pipelines import class_incremental
from clep.pipelines.resume import resume

import clep
from clep import interrupts, tracking, unfinished
from clep.cli import main
from clep.config import compose
from clep.errors import ConfigError
from clep.tracking.reading import points_of
from clep.tracking.store import client_of
from tests.pipelines.conftest import SMALL, WORDS

LONGER = SMALL | {
    "strategies": ["awake_rehearsal", "sleep_replay"],
    "stream": {"experiences": 4, "samples_per_experience": 48, "evaluation_samples": 20},
}


class StopError(Exception):
    """The process is gone."""


def stopping(after):
    def on_progress(message):
        if message.get("experience") == after:
            raise StopError

    return on_progress


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a store that holds one run, which was never stopped."""
    folder = tmp_path_factory.mktemp("project")
    class_incremental.run(config(f"sqlite:///{folder}/mlflow.db"))
    return folder


@pytest.fixture
def uri(project, tmp_path):
    """A copy of that store."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    return f"sqlite:///{tmp_path}/mlflow.db"


def whole(uri):
    """The run that was never stopped."""
    return tracking.runs_of(uri)[-1].run_id


def config(uri, **changes):
    return compose(LONGER | {"tracking": {"uri": uri}} | changes)


def stopped(uri, after=2, **changes):
    """A run that was stopped after an experience."""
    with pytest.raises(StopError):
        class_incremental.run(config(uri, **changes), on_progress=stopping(after))
    return unfinished.everything(uri)[0][1].run_id


def points(uri, run_id):
    """The points of each metric, those of times without their values; each must be there once."""
    client = client_of(uri)
    found = {}
    for name in client.get_run(run_id).data.metrics:
        history = client.get_metric_history(run_id, name)
        assert len({point.step for point in history}) == len(history)
        found[name] = {point.step: None if name.startswith("time/") else point.value for point in history}
    return found


def result_of(uri, run_id):
    """What `result.json` says, without ids and times."""
    with tracking.artifacts(uri, run_id, "result.json") as path:
        found = json.loads(path.read_text())
    return {name: value for name, value in found.items() if name not in ("run_id", "seconds", "tracking_uri")}


def assert_same(uri, one, other):
    assert points(uri, one) == points(uri, other)
    assert result_of(uri, one) == result_of(uri, other)
    mine, others = (clep.load(run_id, tracking_uri=uri).state_dict() for run_id in (one, other))
    assert all(bool((mine[name] == others[name]).all()) for name in mine)


def test_a_stopped_run_ends_like_one_that_was_not_and_logs_nothing_twice(uri, tmp_path):
    assert not (tmp_path / "clep-state").exists()  # the one that was not stopped keeps nothing
    run_id = stopped(uri)
    assert (tmp_path / "clep-state" / run_id).is_dir()
    result = resume(run_id[:8], [f"tracking.uri={uri}"])
    assert result.run_id == run_id
    assert_same(uri, whole(uri), run_id)
    run = tracking.run_of(uri, run_id)
    assert run.status == "FINISHED"
    assert "error" not in run.tags
    assert not (tmp_path / "clep-state").exists()


def test_points_that_a_checkpoint_does_not_know_of_are_not_logged_again(uri):
    """As after a kill between the last batch of metrics and the next checkpoint."""
    run_id = stopped(uri)
    client = client_of(uri)
    for name in ("accuracy/seen", "forgetting_since_training/average"):
        for step, value in points_of(uri, whole(uri), name).items():
            if step == 3:  # the stopped run has the others
                client.log_metric(run_id, name, value, step=step)
    resume(run_id, [f"tracking.uri={uri}"])
    assert_same(uri, whole(uri), run_id)


def test_the_command_finds_the_latest_run_that_did_not_end(uri, capsys):
    first, second = stopped(uri), stopped(uri, seed=1)
    for run_id in (first, second):
        tracking.end(uri, run_id, "KILLED")
    assert main(["resume", f"tracking.uri={uri}"]) == 0
    assert f"clep ui {second}" in capsys.readouterr().out
    assert main(["resume", f"tracking.uri={uri}"]) == 0
    assert f"clep ui {first}" in capsys.readouterr().out
    assert main(["resume", f"tracking.uri={uri}"]) == 2
    assert "has no run that was stopped" in capsys.readouterr().err


def test_a_run_goes_on_only_as_it_began(uri, tmp_path):
    run_id = stopped(uri)
    with pytest.raises(ConfigError, match=r"learner\.lr: a run that goes on keeps its configuration.*clep fork"):
        resume(run_id, ["learner.lr=0.1"])
    with pytest.raises(ConfigError, match=r"tracking\.experiment: a run that goes on keeps its configuration"):
        resume(run_id, ["tracking.experiment=other"])
    with pytest.raises(ConfigError, match="has no run `abc`"):
        resume("abc", [f"tracking.uri={uri}"])
    with pytest.raises(ConfigError, match="is FINISHED, and nothing is left of it"):
        resume(whole(uri), [f"tracking.uri={uri}"])
    path = tmp_path / "clep-state" / run_id / "run.json"
    record = json.loads(path.read_text())
    record["identity"]["clep.identity.code"] = "0.0.1+abc"
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigError, match=r"code of clep changed \(was 0\.0\.1\+abc"):
        resume(run_id, [f"tracking.uri={uri}"])


def test_a_run_that_another_process_runs_is_left_alone(uri):
    run_id = stopped(uri)
    with unfinished.Folder(uri, run_id).held(), pytest.raises(ConfigError, match="goes on in another process"):
        resume(run_id, [f"tracking.uri={uri}"])
    assert tracking.run_of(uri, run_id).tags["error"].startswith("StopError")  # as before: it was not opened
    resume(run_id, [f"tracking.uri={uri}"])


def test_without_checkpoints_a_run_begins_again(uri, tmp_path):
    run_id = stopped(uri, checkpoint={"keep": "none"})
    assert list((tmp_path / "clep-state" / run_id).glob("*.ckpt")) == []
    resume(run_id, [f"tracking.uri={uri}"])
    assert_same(uri, whole(uri), run_id)


def test_a_schedulers_notice_waits_until_the_run_can_go_on_from_there(uri):
    def notice(message):
        if message.get("experience") == 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    with interrupts.listening():
        with pytest.raises(KeyboardInterrupt):
            class_incremental.run(config(uri, learner={"epochs": 1, "lr": 0.05}), on_progress=notice)
        assert interrupts.exit_code() == interrupts.QUEUE_AGAIN
    (folder, record), *_ = unfinished.everything(uri)
    assert tracking.run_of(uri, record.run_id).status == "KILLED"
    assert (folder.path / "experience-0002.ckpt").is_file()
    resume(record.run_id, [f"tracking.uri={uri}"])
    assert_same(uri, whole(uri), record.run_id)


def test_no_password_of_the_store_is_kept(tmp_path):
    kept = unfinished.plain(compose(None, ["tracking.uri=postgresql://me:secret@host/db"]))
    assert "secret" not in json.dumps(kept)


def in_child(work, *, kill_after=None, begun=lambda: True):
    """Do work in a forked process, killed some seconds after it has begun; return whether it was."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    deadline = None
    while True:
        if deadline is None and kill_after is not None and begun():
            deadline, kill_after = time.monotonic() + kill_after, None
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            assert code in (0, -signal.SIGKILL)
            return code != 0
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            deadline = None
        time.sleep(0.005)


def killed_again_and_again(uri, kills, generator, seconds):
    """Run, kill at random moments, go on, kill, ... and go on to the end; how often it was killed."""
    many = config(uri, checkpoint={"every_minutes": 0.0})
    done = 0
    while done < kills:

        def work():
            found = unfinished.everything(uri)
            if found:
                resume(found[0][1].run_id, [f"tracking.uri={uri}"])
            else:
                class_incremental.run(many)

        begun = (lambda: True) if unfinished.everything(uri) else (lambda: bool(unfinished.everything(uri)))
        done += in_child(work, kill_after=generator.uniform(0.0, seconds), begun=begun)
    while unfinished.everything(uri):
        in_child(lambda: resume(unfinished.everything(uri)[0][1].run_id, [f"tracking.uri={uri}"]))
    return done


def assert_all_alike(uri):
    """Every run that finished is like the first one; what was killed before it had anything is all that did not."""
    runs = tracking.runs_of(uri)
    first, *finished = [run.run_id for run in reversed(runs) if run.status == "FINISHED"]
    assert finished
    for run_id in finished:
        assert_same(uri, first, run_id)
    for run in runs:
        assert run.status == "FINISHED" or not client_of(uri).get_run(run.run_id).data.metrics


def test_five_kills_at_random_moments_change_nothing(uri):
    killed_again_and_again(uri, 5, random.Random(1), 1.5)
    assert_all_alike(uri)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills_at_random_moments_change_nothing(uri):
    killed_again_and_again(uri, 50, random.Random(2), 2.5)
    assert_all_alike(uri)


STOPS = """
import pathlib, clep

class Stops(clep.Strategy):
    def after_training_exp(self, strategy, **kwargs):
        if strategy.clock.train_exp_counter == 1 and not pathlib.Path("go").exists():
            raise KeyboardInterrupt
"""


@pytest.mark.slow
def test_without_an_id_the_comparison_of_the_stopped_run_goes_on(small, tmp_path, monkeypatch, capsys, without_page):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stops.py").write_text(STOPS)
    uri = small["tracking"]["uri"]
    words = [*WORDS, "cells=[[naive],['stops:Stops'],[joint]]", "seeds=[0]", "controls=none", "workers=0"]
    assert main(["compare", *words, f"tracking.uri={uri}"]) == 130
    begun = {run.tags.get("cell", "parent"): run.run_id for run in tracking.runs_of(uri)}
    (tmp_path / "go").touch()
    assert main(["resume", f"tracking.uri={uri}"]) == 0
    out, err = capsys.readouterr()
    assert f"comparison {begun['parent']}, which goes on" in err
    assert set(re.findall(r"^(joint|naive|stops:Stops) ", out, re.MULTILINE)) == {"joint", "naive", "stops:Stops"}
    ended = {run.tags.get("cell", "parent"): run for run in tracking.runs_of(uri) if run.status == "FINISHED"}
    assert set(ended) == {"parent", "naive", "stops:Stops", "joint"}
    assert {name: ended[name].run_id for name in begun} == begun  # none is run a second time
