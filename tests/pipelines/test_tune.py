"""`clep tune`: trials on validation data, recorded, resumed, and the best one ready to run."""

import json

import mlflow
import optuna
import pytest
from clep.pipelines import tune

import clep
from clep import cli, search
from clep.build import build_stream, build_training
from clep.config import compose, replace
from clep.errors import TrialsFailedError, UnusedWarning
from clep.workers import Message
from tests.oracles.stores import empty_store

SMALL = ["stream.samples_per_experience=40", "network.hidden=[24]", "learner.epochs=1", "strategies=naive"]
SPACE = "tune.space={learner.lr: {low: 0.001, high: 0.1, log: true}}"


@pytest.fixture(autouse=True)
def _stored(tmp_path):
    """The store that commands find in the working directory."""
    empty_store(tmp_path)


def command(*further):
    return ["tune", *SMALL, SPACE, "tune.seeds=[100,101]", *further]


def children(tmp_path):
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("clep").experiment_id
    return [run for run in client.search_runs([experiment]) if run.info.run_name.startswith("trial")]


def test_a_search_records_its_trials_goes_on_where_it_stopped_and_leaves_a_config(tmp_path, capsys):
    assert cli.main([*command("tune.trials=2"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert len(first["trials"]) == len(children(tmp_path)) == 2
    assert 0.011 in {trial["values"]["learner.lr"] for trial in first["trials"]}  # the present value is tried first
    assert cli.main([*command("tune.trials=3"), "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert len(second["trials"]) == len(children(tmp_path)) == 3
    assert all(trial in second["trials"] for trial in first["trials"])
    assert len({trial["values"]["learner.lr"] for trial in second["trials"]}) == 3  # none is drawn again
    best = max(trial["accuracy"] for trial in second["trials"])
    assert second["trials"][0]["accuracy"] == pytest.approx(best)
    assert second["accuracy"]["mean"] == pytest.approx(best)
    assert second["accuracy"]["n"] == 2
    tuned = compose("tuned.yaml")
    assert tuned.learner.lr == second["values"]["learner.lr"]
    assert (tuned.stream.evaluate_on, tuned.stream.validation_fraction) == ("test", 0.0)
    assert clep.run("tuned.yaml").status == "FINISHED"


def test_the_score_is_the_final_accuracy_on_validation_samples_of_the_training_data():
    """Scored on test data, every number chosen by it would be one that has seen the test."""
    config = compose({}, [*SMALL, SPACE, "tune.seeds=[100]", "tune.trials=1", "workers=1"])
    tuned = tune.run(config)
    by_hand = compose(
        {}, [*SMALL, "stream.validation_fraction=0.2", "stream.evaluate_on=validation", "seed=100", "learner.lr=0.01"]
    )
    stream = build_stream(by_hand)
    expected = clep.run(by_hand).accuracy
    assert tuned.accuracy["mean"] == pytest.approx(expected, abs=1e-12)
    assert sum(map(len, stream.evaluation)) == round(0.2 * 1437)
    assert build_training(by_hand, stream)


def test_an_entry_of_a_list_is_searched_and_recorded(tmp_path):
    key = "strategy.sleep_replay.threshold[1]"
    few = [
        "strategies=sleep_replay",
        "strategy.sleep_replay.calibration=published",
        "strategy.sleep_replay.steps=20",
        "tune.trials=2",
        "tune.seeds=[100]",
    ]
    space = "tune.space={'" + key + "': {low: 0.5, high: 0.9}}"
    declared = [
        f"strategy.sleep_replay.{name}" for name in search.declared("sleep_replay", {"calibration": "published"})
    ]
    others = [name for name in declared if name != key]
    config = compose({}, [*SMALL[:3], *few, space])
    config = replace(config, tune={"space": dict.fromkeys(others)})
    tuned = tune.run(config)
    assert set(tuned.values) == {key}
    assert {run.data.params["strategy.sleep_replay.threshold.1"] for run in children(tmp_path)} == {
        str(values[key]) for _, _, values in tuned.trials
    }
    assert tuned.config.strategy["sleep_replay"]["threshold"] == [0.077, tuned.values[key]]


def test_interrupted_trials_are_closed_and_failing_ones_reported(monkeypatch, tmp_path):
    config = compose({}, [*SMALL, SPACE, "tune.trials=1", "tune.seeds=[100]"])

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "_scores", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tune.run(config)
    monkeypatch.setattr(tune, "_scores", lambda *_: [["error: diverged"]])
    with pytest.raises(TrialsFailedError, match=r"tune: 10 trials in a row failed, .* error: diverged"):
        tune.run(config)
    monkeypatch.setattr(tune, "_scores", lambda *_: [[0.5]])
    assert tune.run(config).accuracy["mean"] == 0.5
    (study,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path}/optuna.db")
    states = [
        t.state.name
        for t in optuna.load_study(study_name=study.study_name, storage=f"sqlite:///{tmp_path}/optuna.db").trials
    ]
    assert states[-1] == "COMPLETE"
    assert set(states[:-1]) == {"FAIL"}


def at_once(sizes):
    """Runs the work of all processes in this one, and notes how many runs each has."""

    def run(function, jobs, *, preload):
        for i, job in enumerate(jobs):
            sizes.append(len(job))
            yield Message(i, "done", function(job, print))

    return run


def test_trials_that_differ_in_constants_train_in_one_pass_and_score_as_alone():
    shared = [
        *SMALL,
        "workers=1",
        "stream.validation_fraction=0.2",
        "stream.evaluate_on=validation",
        "tune.seeds=[100,101]",
    ]
    sizes: dict[str, list[int]] = {"auto": [], "off": []}
    scores = {}
    for population, noted in sizes.items():
        trials = [f"learner.lr={rate} population={population}".split() for rate in (0.003, 0.03)]
        trials.append(["network.hidden=[12]", f"population={population}"])
        scores[population] = tune._scores([compose({}, [*shared, *trial]) for trial in trials], at_once(noted))
    assert sizes == {"auto": [4, 2], "off": [1] * 6}
    assert scores["auto"] == [pytest.approx(known, abs=0.01) for known in scores["off"]]


def test_a_search_in_one_pass_falls_back_with_the_reason():
    config = compose({}, [*SMALL, SPACE, "population=auto", "network.inhibition=0.1"])
    with pytest.warns(UnusedWarning, match="trials train one by one: network.inhibition"):
        assert tune._at_once(tune._check(config, search.space_of(config))) == 1
    assert tune._at_once(compose({}, [*SMALL, SPACE, "population=auto", "workers=1"])) == 5


def test_a_diverging_network_scores_zero_so_that_the_search_goes_on_and_keeps_away():
    """As a failed trial it would teach the sampler nothing, and a range that reaches too far would end the search."""
    values = "tune.space={learner.lr: {choices: [1.0e+30, 0.01]}}"
    several = [*SMALL, "learner.lr=0.01", "network=feedforward", "tune.seeds=[100]"]
    tuned = tune.run(compose({}, [*several, values, "tune.trials=4"]))
    scores = {values["learner.lr"]: accuracy for _, accuracy, values in tuned.trials}
    assert scores[1e30] == 0.0 < scores[0.01] == tuned.accuracy["mean"]
    with pytest.raises(TrialsFailedError, match=r"tune: all 1 trials diverged; lower learner\.lr"):
        tune.run(compose({}, [*several, values.replace(", 0.01", ""), "tune.trials=1"]))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{learner.lr: {low: -1, high: 1}}", "learner.lr: expected a number"),
        ("{strategy.sleep_replay.threshold[1]: {low: -5.0, high: 1.0}}", "threshold"),
    ],
)
def test_a_range_with_an_impossible_end_is_refused_before_anything_is_trained(space, message, tmp_path):
    """A search would otherwise end hours later, at the first trial that draws such a value."""
    new = f"sqlite:///{tmp_path}/new.db"
    with pytest.raises(clep.errors.ConfigError, match=message):
        tune.run(compose({}, [*SMALL[:3], "strategies=sleep_replay", f"tune.space={space}", f"tracking.uri={new}"]))
    assert not (tmp_path / "new.db").exists()


def test_what_was_found_is_written_as_text():
    trials = [(n, 0.9 - n / 100, {"learner.lr": 0.1 * n}) for n in range(12)]
    tuned = tune.Tuned({"mean": 0.9, "std": None, "n": 1}, {"learner.lr": 0.0}, trials, compose(), "uri", "abc")
    lines = tuned.to_text().splitlines()
    assert lines[:3] == ["trial  accuracy", "    0  0.9000", "    1  0.8900"]
    assert lines[10:] == ["    9  0.8100", "", "learner.lr: 0.0"]
