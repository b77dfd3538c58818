"""The command line: what goes to stdout, what to stderr, and which exit code. Pipelines are stand-ins."""

import json
import os
import subprocess
import sys
from importlib import metadata, resources
from types import ModuleType, SimpleNamespace

import clep.pipelines
import pytest

from clep import config
from clep.cli import main
from clep.errors import ClepError, ConfigError, DataError, DivergenceError, MissingExtraError

RUN = {
    "run_id": "abc",
    "status": "FINISHED",
    "tracking_uri": "sqlite:///mlflow.db",
    "stream": "digits",
    "network": "hts_ep",
    "strategies": ["awake_rehearsal", "sleep_replay"],
    "seed": 3,
    "accuracy": 0.745,
    "forgetting": None,
    "backward_transfer": -0.2,
    "learned_accuracy": 0.931,
    "accuracy_matrix": [[0.99, 0.0], [0.5, 0.875]],
    "seconds": {"train": 1.25, "consolidation": 2.0, "eval": 0.5, "total": 3.75},
}
FAILED_RUN = RUN | {"status": "FAILED", "accuracy": None, "accuracy_matrix": [], "seconds": {}, "error": "boom"}
COMPARISON = {"tracking_uri": RUN["tracking_uri"], "runs": [RUN], "table": [], "seconds": {"total": 2.9}}
OPEN = "Open the results: ui sqlite:///mlflow.db"


@pytest.fixture
def pipelines(monkeypatch):
    """Stand-ins of both pipelines: they note the config in `seen`, call `before` and return `values` as JSON."""
    fake = SimpleNamespace(values=RUN, failed=False, before=lambda: None, seen=[])

    def result(composed):
        fake.seen.append(composed)
        fake.before()
        return SimpleNamespace(
            to_json=lambda: fake.values,
            status=fake.values.get("status"),
            tracking_uri=fake.values["tracking_uri"],
            table=[{"label": "naive"}],
            failed=fake.failed,
        )

    monkeypatch.setattr(clep.pipelines, "class_incremental", SimpleNamespace(run=result), raising=False)
    monkeypatch.setattr(clep.pipelines, "compare", SimpleNamespace(compare=result), raising=False)
    for name, function in {"ui_command": lambda uri: f"ui {uri}", "format_table": lambda rows: f"table {rows}"}.items():
        module = ModuleType(name)
        setattr(module, name, function)
        monkeypatch.setitem(sys.modules, "clep.tracking" if name == "ui_command" else "clep.report", module)
    return fake


def shell(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **options)


def test_run_prints_its_result_and_how_to_open_it(pipelines, capsys):
    assert main(["run"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "strategies        awake_rehearsal+sleep_replay",
        "seed              3",
        "status            FINISHED",
        "accuracy          0.745",
        "forgetting        -",
        "learned accuracy  0.931",
        "accuracy matrix   (row: trained up to this experience; column: tested on this one)",
        "                  0.990  0.000",
        "                  0.500  0.875",
        "seconds           train 1.2, consolidation 2.0, eval 0.5, total 3.8",
        OPEN,
    ]
    assert err == ""


def test_run_with_json_prints_one_object(pipelines, capsys):
    assert main(["run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == RUN


@pytest.mark.parametrize("words", ["mnist seed=4 --json", "--json mnist seed=4", "mnist --json seed=4"])
def test_options_may_stand_anywhere(pipelines, capsys, words):
    assert main(["run", *words.split()]) == 0
    assert (pipelines.seen[0].stream.name, pipelines.seen[0].seed) == ("mnist", 4)
    json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("command", ["run", "compare"])
def test_the_first_word_is_the_config_if_it_holds_no_equals_sign(pipelines, command, tmp_path):
    pipelines.values = RUN | {"runs": []}
    path = tmp_path / "my.yaml"
    path.write_text("seed: 5\nlearner: {lr: 0.5}\n", encoding="utf-8")
    assert main([command, str(path), "seed=6"]) == 0
    assert main([command, "seed=7"]) == 0
    assert main([command]) == 0
    assert pipelines.seen == [
        config.compose(path, ["seed=6"]),
        config.compose("class_incremental", ["seed=7"]),
        config.compose("class_incremental"),
    ]


def test_compare_prints_its_table_the_seconds_of_all_runs_and_how_to_open_them(pipelines, capsys):
    pipelines.values = COMPARISON | {"runs": [RUN, FAILED_RUN, RUN]}
    assert main(["compare"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "table [{'label': 'naive'}]",
        "seconds           train 2.5, consolidation 4.0, eval 1.0, total 2.9",
        OPEN,
    ]


def test_compare_with_json_prints_one_object(pipelines, capsys):
    pipelines.values = COMPARISON
    assert main(["compare", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == pipelines.values


def test_a_failed_run_and_a_failed_cell_exit_with_1_and_still_print(pipelines, capsys):
    pipelines.values, pipelines.failed = FAILED_RUN, True
    assert main(["run"]) == 1
    assert "status            FAILED" in capsys.readouterr().out
    pipelines.values = COMPARISON | {"runs": [FAILED_RUN]}
    assert main(["compare"]) == 1
    out, err = capsys.readouterr()
    assert out.endswith(f"{OPEN}\n")
    assert err == "clep: awake_rehearsal+sleep_replay, seed 3: FAILED: boom\n"


@pytest.mark.parametrize("command", ["run", "compare"])
def test_what_pipelines_and_their_processes_print_goes_to_stderr(pipelines, capfd, command):
    def noise():
        print("printed")
        os.write(1, b"written\n")
        subprocess.run(["echo", "echoed"], check=True)

    pipelines.before = noise
    pipelines.values = RUN | {"runs": []}
    assert main([command, "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == pipelines.values
    assert {"printed", "written", "echoed"} <= {*err.split()}


def test_stdout_is_restored_after_an_error(pipelines, capfd):
    def fail():
        raise ClepError("no")

    pipelines.before = fail
    main(["run"])
    print("printed")
    os.write(1, b"written\n")
    assert {*capfd.readouterr().out.split()} == {"printed", "written"}


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("learner.lr: no"), 2, "clep: error: learner.lr: no"),
        (DataError("x.npz: not\n  there"), 2, "clep: error: x.npz: not there"),
        (MissingExtraError("install clep[gem]"), 2, "clep: error: install clep[gem]"),
        (DivergenceError("nan in experience 2"), 1, "clep: error: nan in experience 2"),
        (RuntimeError("boom"), 1, "clep: error: RuntimeError: boom; set CLEP_TRACEBACK=1 to see the traceback"),
    ],
)
def test_an_error_is_one_line_on_stderr_and_its_kind_the_exit_code(pipelines, capsys, monkeypatch, error, code, line):
    def fail():
        raise error

    monkeypatch.delenv("CLEP_TRACEBACK", raising=False)
    pipelines.before = fail
    assert main(["run"]) == code
    assert capsys.readouterr() == ("", f"{line}\n")


def test_ctrl_c_exits_with_130_and_says_what_was_kept(pipelines, capsys):
    def interrupt():
        raise KeyboardInterrupt

    pipelines.before = interrupt
    assert main(["run"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "MLflow as KILLED" in err


def test_a_traceback_is_shown_when_asked_for(pipelines, capsys, monkeypatch):
    def fail():
        raise RuntimeError("boom")

    monkeypatch.setenv("CLEP_TRACEBACK", "1")
    pipelines.before = fail
    assert main(["run"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_nothing_is_run_when_the_config_is_wrong(pipelines, capsys):
    assert main(["run", "learner.epoch=3"]) == 2
    assert main(["compare", "no_such_config"]) == 2
    assert pipelines.seen == []
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("clep: error: learner.epoch: unknown key `epoch`; did you mean `epochs`?")


@pytest.mark.parametrize("words", ["", "rum", "run --jsn", "list cells", "list --json", "list streams networks"])
def test_a_usage_error_exits_with_2_and_prints_nothing_on_stdout(capsys, words):
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error:" in err


@pytest.mark.parametrize("words", ["--help", "run --help", "compare --help", "list --help", "show --help"])
def test_every_help_has_examples(capsys, words):
    assert main(words.split()) == 0
    command = words.removesuffix("--help").strip()
    assert f"  clep {command}" in capsys.readouterr().out.partition("examples:\n")[2]


def test_the_examples_of_the_help_compose(capsys):
    for command in ("run", "compare", "show"):
        main([command, "--help"])
        for line in capsys.readouterr().out.partition("examples:\n")[2].splitlines():
            words = line.partition(">")[0].split()[2:]
            names = [word for word in words if not word.startswith("--") and word != "my.yaml"]
            assert config.compose(names.pop(0) if names and "=" not in names[0] else None, names)


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"clep {metadata.version('clep')}\n"


def test_show_prints_yaml_that_composes_to_the_same_config(capsys, tmp_path):
    assert main(["show", "mnist", "network=ep", "strategies=[ewc]", "strategy.ewc.ewc_lambda=2"]) == 0
    path = tmp_path / "shown.yaml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    overrides = ["network=ep", "strategies=[ewc]", "strategy.ewc.ewc_lambda=2"]
    assert config.compose(path) == config.compose("mnist", overrides)


@pytest.mark.parametrize(("what", "group"), [("streams", "stream"), ("networks", "network"), ("configs", "pipeline")])
def test_list_names_and_describes_the_built_in_files(capsys, what, group):
    assert main(["list", what]) == 0
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert rows == [[name, text] for name, text in config.builtin(group).items()]


def test_list_strategies_gives_import_paths_and_the_docstrings_of_our_own(capsys):
    assert main(["list", "strategies"]) == 0
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in capsys.readouterr().out.splitlines()}
    assert rows["ewc"][0] == "avalanche.training.plugins:EWCPlugin"
    path, description = rows["awake_rehearsal"]
    assert path == "clep.strategies.awake_rehearsal:AwakeRehearsal"
    source = (resources.files("clep.strategies") / "awake_rehearsal.py").read_text(encoding="utf-8")
    assert f'class AwakeRehearsal(Strategy):\n    """{description}' in source


def test_list_without_a_word_lists_everything(capsys):
    assert main(["list"]) == 0
    sections = capsys.readouterr().out.split("\n\n")
    named = [section.partition(":")[0] for section in sections]
    assert named == ["strategies", "streams", "networks", "configs", "claims"]
    assert all("\n  " in section for section in sections)


@pytest.mark.parametrize("words", [["--help"], ["list"], ["show"], ["run", "learner.epoch=1"]])
def test_a_command_that_runs_nothing_imports_no_heavy_library(words):
    heavy = "{'torch', 'avalanche', 'mlflow', 'pytorch_lightning', 'sklearn', 'matplotlib'}"
    done = shell(f"import sys; from clep.cli import main; main({words}); sys.exit(str({heavy} & {{*sys.modules}}))")
    assert done.stderr.splitlines()[-1] == "set()"


def test_a_reader_that_leaves_is_not_an_error():
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from clep.cli import main; sys.exit(main(['show']))"
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
