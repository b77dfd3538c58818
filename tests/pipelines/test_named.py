"""Pipelines, metrics and columns of other packages, through the command line and in the results."""

import json
from functools import partial

import mlflow
import pytest

import clep
from clep.cli import main
from tests.oracles.packages import install

SOURCE = '''
import clep


class Dream(clep.Strategy):
    """Logs how many samples it saw."""

    def after_training_exp(self, strategy, **kwargs):
        self.log("dream/hits", len(strategy.experience.dataset) + strategy.experience.current_experience)


def kept(R, learned, *, floor: float = 0.0):
    """The least share of anything learned that is left."""
    return max(floor, 0.5)


def twice(config, *, times: int = 2):
    """What a run would be asked, some times."""
    return {"seeds": [config.seed] * times}
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of its module."""
    strategies, metrics, pipelines = {"dream": "Dream"}, {"kept": "kept"}, {"twice": "twice"}
    make = partial(install, tmp_path, monkeypatch, "dreams", SOURCE)
    return make(strategies=strategies, metrics=metrics, pipelines=pipelines)


def printed(capsys, *line):
    assert main(list(line)) == 0
    return capsys.readouterr().out


def test_a_pipeline_gets_the_configuration_and_its_own_parameters(package, capsys):
    assert json.loads(printed(capsys, "pipeline", "twice", "seed=4", "pipeline.times=3"))["seeds"] == [4, 4, 4]
    assert json.loads(printed(capsys, "pipeline", f"{package}:twice", "--json"))["seeds"] == [0, 0]
    assert main(["pipeline", "twice", "pipeline.time=3"]) == 2
    assert "pipeline.time: unknown key `time`; did you mean `times`?" in capsys.readouterr().err
    assert main(["pipeline", "twcie"]) == 2
    assert "pipeline: unknown pipeline `twcie`; did you mean `twice`?" in capsys.readouterr().err


def test_a_pipeline_of_clep_is_one_among_them(small, capsys, tmp_path):
    (tmp_path / "small.yaml").write_text(json.dumps(small))
    result = json.loads(printed(capsys, "pipeline", "class_incremental", "small.yaml", "--json"))
    assert result["status"] == "FINISHED"


@pytest.mark.usefixtures("package")
def test_what_a_strategy_logs_and_a_metric_are_in_the_result_in_mlflow_and_columns(small, capsys):
    numbers = {"strategies": ["dream"], "metrics": ["kept", "max_forgetting"], "metric": {"kept": {"floor": 0.75}}}
    run = clep.run(small | numbers)
    n = len(run.accuracy_matrix)
    assert run.logged == {"dream/hits": [64.0 + i for i in range(n)]}
    assert run.metrics["kept"] == 0.75
    client = mlflow.MlflowClient(tracking_uri=run.tracking_uri)
    final = client.get_run(run.run_id).data.metrics
    assert (final["final/kept"], final["dream/hits"]) == (0.75, 64.0 + n - 1)
    assert final["final/max_forgetting"] == pytest.approx(run.metrics["max_forgetting"])

    columns = {"columns": ["dream/hits", "kept", "max_forgetting"], "metric": {"kept": {"floor": 0.75}}}
    compared = clep.compare(small | columns | {"cells": [["dream"], ["naive"]], "seeds": [0], "workers": 1})
    row = next(row for row in compared.table if row["label"] == "dream")
    assert (row["dream/hits"]["mean"], row["kept"]["mean"]) == (64.0 + n - 1, 0.75)
    head = next(line for line in compared.to_text().splitlines() if line.startswith("cell"))
    assert head.split()[-3:] == ["dream/hits", "kept", "max_forgetting"]
    stored = clep.load_comparison(compared.parent_run_id)
    assert stored.to_text().splitlines()[:6] == compared.to_text().splitlines()[:6]
    capsys.readouterr()
    shown = printed(capsys, "report", compared.parent_run_id, "--columns", "backward_transfer", "--output", "out")
    assert "backward_transfer" in shown
    for name in ("report.html", "table.csv", "table.md", "table.tex"):
        text = open(f"out/{name}").read().replace("\\_", "_")  # noqa: SIM115
        assert "dream/hits" in text, name
        assert "backward_transfer" in text, name


def test_a_column_without_a_number_is_named(small, capsys):
    config = small | {"columns": ["dream/hits"], "cells": [["naive"]], "seeds": [0], "workers": 1}
    with pytest.warns(clep.errors.UnusedWarning, match="columns: no run has a number `dream/hits`"):
        clep.compare(config)
