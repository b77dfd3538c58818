"""`clep fork`: from the middle of a run with other settings, as a new run."""

import shutil

import pytest
from clep.pipelines import class_incremental
from clep.pipelines.fork import FORKED, FORKED_AFTER, fork
from clep.pipelines.resume import resume

from clep import tracking, unfinished
from clep.config import compose
from clep.errors import ConfigError
from tests.pipelines.conftest import SMALL

OWN = SMALL | {
    "strategies": ["awake_rehearsal"],
    "stream": {"experiences": 4, "samples_per_experience": 48, "evaluation_samples": 20},
    "checkpoint": {"keep": "all"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a run that kept a checkpoint of each experience."""
    folder = tmp_path_factory.mktemp("project")
    class_incremental.run(compose(OWN | {"tracking": {"uri": f"sqlite:///{folder}/mlflow.db"}}))
    return folder


@pytest.fixture
def uri(project, tmp_path):
    """A copy of that store."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def origin(uri):
    """The run."""
    return tracking.runs_of(uri)[-1].run_id


def numbers(result):
    return {name: value for name, value in result.to_json().items() if name not in _OF_THE_RUN}


_OF_THE_RUN = ("run_id", "seconds", "tracking_uri", "cell", "label")


def test_without_a_change_it_ends_like_the_run_itself_and_says_where_it_came_from(uri, origin, tmp_path, capsys):
    whole = numbers(class_incremental.run(compose(OWN | {"tracking": {"uri": uri}})))
    for keeps in (True, False):
        if not keeps:
            shutil.rmtree(tmp_path / "clep-state")
        result = fork(origin[:8], 2, [f"tracking.uri={uri}"])
        assert numbers(result) == whole
        run = tracking.run_of(uri, result.run_id)
        assert (run.tags[FORKED], run.tags[FORKED_AFTER]) == (origin, "2")
        assert result.label == f"awake_rehearsal (from {origin[:8]} after 2)"
        assert run.tags["clep.cell"] != tracking.run_of(uri, origin).tags["clep.cell"]
        assert ("training its first 2 again" in capsys.readouterr().err) is not keeps


def test_other_settings_hold_from_there_on(uri, origin):
    before = numbers(fork(origin, 2, [f"tracking.uri={uri}"]))
    result = fork(origin, 2, ["learner.epochs=3", "strategies=[awake_rehearsal,sleep_replay]", f"tracking.uri={uri}"])
    after = numbers(result)
    assert after["accuracy_matrix"][:2] == before["accuracy_matrix"][:2]
    assert after["accuracy_matrix"][2:] != before["accuracy_matrix"][2:]
    assert after["updates"] > before["updates"]
    assert after["strategies"] == ["awake_rehearsal", "sleep_replay"]
    points = tracking.points_of(uri, result.run_id, "sleep/accuracy_after")
    assert set(points) == {2, 3}


def test_a_stopped_fork_goes_on(uri, origin):
    class StopError(Exception):
        pass

    def stop(message):
        if "run_id" in message:
            raise StopError

    whole = numbers(fork(origin, 2, ["learner.epochs=3", f"tracking.uri={uri}"]))
    with pytest.raises(StopError):
        fork(origin, 2, ["learner.epochs=3", f"tracking.uri={uri}"], on_progress=stop)
    latest = unfinished.everything(uri)[0][1].run_id
    assert numbers(resume(latest, [f"tracking.uri={uri}"])) == whole


@pytest.mark.parametrize(
    ("after", "change", "message"),
    [
        (2, "stream.experiences=2", r"stream\.experiences: a fork shares it"),
        (2, "seed=1", r"seed: a fork shares it"),
        (0, "learner.lr=0.1", r"after: expected an integer in \[1, 3\], got 0"),
        (4, "learner.lr=0.1", r"after: expected an integer in \[1, 3\], got 4"),
        (2, "network.hidden=[16]", r"network\.hidden: the weights were learned in another network"),
        (2, "strategy.awake_rehearsal.memory_size=9", r"strategy\.awake_rehearsal\.memory_size: what the strategy rem"),
    ],
)
def test_what_both_runs_share_cannot_be_changed(uri, origin, after, change, message):
    with pytest.raises(ConfigError, match=message):
        fork(origin, after, [change, f"tracking.uri={uri}"])
