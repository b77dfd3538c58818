"""The command line: what goes to stdout and to stderr, the exit code, and the help. Pipelines are stand-ins."""

import json
import os
import shlex
import subprocess
import sys
import warnings
from importlib import metadata
from types import ModuleType, SimpleNamespace

import clep.pipelines
import pytest
import yaml

from clep import build, config, registry, schema
from clep.bench.cases import PIPELINES, POPULATIONS, SCALINGS, SLEEPS, UPDATES
from clep.cli import COMMANDS, main, parse
from clep.errors import (
    ClepError,
    ConfigError,
    DataError,
    DivergenceError,
    InputWarning,
    MissingExtraError,
    SettlingWarning,
)

VALUES = {"status": "FINISHED", "accuracy": 0.745, "forgetting": None}
OPEN = "Open the results: ui sqlite:///mlflow.db 0123"


@pytest.fixture
def pipelines(monkeypatch):
    """Stand-ins of two pipelines: they note the config in `seen`, call `before` and return a result."""
    fake = SimpleNamespace(failed=False, failures=[], again="", before=lambda: None, seen=[])

    def result(composed, **options):
        fake.seen.append(composed)
        fake.before()
        return SimpleNamespace(
            to_json=lambda: VALUES,
            to_text=lambda: "the text\nof the result",
            tracking_uri="sqlite:///mlflow.db",
            run_id="0123",
            failed=fake.failed,
            failures=fake.failures,
            again=fake.again,
        )

    monkeypatch.setattr(clep.pipelines, "class_incremental", SimpleNamespace(run=result), raising=False)
    monkeypatch.setattr(clep.pipelines, "compare", SimpleNamespace(compare=result), raising=False)
    tracking = ModuleType("tracking")
    tracking.ui_command = lambda uri, run_id: f"ui {uri} {run_id}"
    monkeypatch.setitem(sys.modules, "clep.tracking", tracking)
    return fake


def shell(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_command_prints_the_text_of_its_result_and_how_to_open_it(pipelines, capsys, command):
    assert main([command]) == 0
    assert capsys.readouterr() == (f"the text\nof the result\n{OPEN}\n", "")


@pytest.mark.parametrize("command", ["run", "compare"])
def test_with_json_it_prints_one_object(pipelines, capsys, command):
    assert main([command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == VALUES


@pytest.mark.parametrize("words", ["mnist seed=4 --json", "--json mnist seed=4", "mnist --json seed=4"])
def test_options_may_stand_anywhere(pipelines, capsys, words):
    assert main(["run", *words.split()]) == 0
    assert (pipelines.seen[0].stream.name, pipelines.seen[0].seed) == ("mnist", 4)
    json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("command", ["run", "compare"])
def test_the_first_word_is_the_config_if_it_holds_no_equals_sign(pipelines, command, tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("seed: 5\nlearner: {lr: 0.5}\n", encoding="utf-8")
    assert main([command, str(path), "threads=6"]) == 0
    assert main([command, "threads=7"]) == 0
    assert main([command]) == 0
    assert pipelines.seen == [
        config.compose(path, ["threads=6"]),
        config.compose("class_incremental", ["threads=7"]),
        config.compose("class_incremental"),
    ]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_result_that_failed_is_still_printed_and_exits_with_1(pipelines, capsys, options):
    pipelines.failed, pipelines.failures = True, ["naive, seed 3: FAILED: boom"]
    assert main(["compare", *options]) == 1
    out, err = capsys.readouterr()
    assert out
    assert err == "clep: naive, seed 3: FAILED: boom\n"


@pytest.mark.parametrize("command", ["run", "compare"])
def test_what_pipelines_and_their_processes_print_goes_to_stderr(pipelines, capfd, command):
    def noise():
        print("printed")
        os.write(1, b"written\n")
        subprocess.run(["echo", "echoed"], check=True)

    pipelines.before = noise
    assert main([command, "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == VALUES
    assert {"printed", "written", "echoed"} <= {*err.split()}


@pytest.mark.parametrize(("order", "times"), [("is", 2), ("si", 1), ("i", 1), ("s", 0)])
def test_a_warning_about_the_data_stands_last_since_it_may_explain_the_others(order, times, pipelines, capfd):
    def warn():  # as Python shows it; pytest keeps the warnings of a test to itself
        for letter in order:
            kind = InputWarning if letter == "i" else SettlingWarning
            sys.stderr.write(warnings.formatwarning(letter, kind, "file.py", 1))

    pipelines.before = warn
    assert main(["run", "--json"]) == 0
    lines = capfd.readouterr().err.splitlines()
    assert lines.count("clep: warning: i") == times
    assert lines[-1] == f"clep: warning: {'i' if times else 's'}"


def test_what_a_library_tells_its_authors_is_not_told_to_its_users(pipelines, capfd):
    def warn():
        for name in ("site-packages/library.py", "mine.py"):
            sys.stderr.write(warnings.formatwarning("call to a deprecated function", DeprecationWarning, name, 1))

    pipelines.before = warn
    assert main(["run", "--json"]) == 0
    assert capfd.readouterr().err.startswith("mine.py:1: DeprecationWarning: call to a deprecated function")


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
        (MissingExtraError("install clep-lab[gem]"), 2, "clep: error: install clep-lab[gem]"),
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
    assert "is KILLED in MLflow" in err


def test_ctrl_c_names_the_command_that_goes_on(pipelines, capsys):
    def interrupt():
        stop = KeyboardInterrupt()
        stop.add_note("clep compare --resume 0123abcd")
        raise stop

    pipelines.before = interrupt
    assert main(["compare"]) == 130
    assert capsys.readouterr().err.endswith("; go on with: clep compare --resume 0123abcd\n")


@pytest.mark.parametrize(
    ("words", "resume", "items"),
    [
        ("--resume", "", []),
        ("--resume mnist", "", ["mnist"]),
        ("mnist --resume workers=1 seeds=[0]", "", ["mnist", "workers=1", "seeds=[0]"]),
        ("--resume my.yaml --json", "", ["my.yaml"]),
        ("--resume 0123abcd workers=1", "0123abcd", ["workers=1"]),
        ("workers=1 --resume=0123abcd", "0123abcd", ["workers=1"]),
        ("mnist", None, ["mnist"]),
    ],
)
def test_resume_takes_the_id_of_a_comparison_and_leaves_a_configuration_alone(words, resume, items):
    arguments = parse(["compare", *words.split()])
    assert (arguments.resume, arguments.items) == (resume, items)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--into abcd --resume", "--into: it runs what is missing too, so remove --resume"),
        ("mnist --into abcd", "--into: a stored comparison has a configuration of its own; remove `mnist`"),
        ("mnist --resume abcd", "--resume: a stored comparison has a configuration of its own; remove `mnist`"),
        ("--into abcd learner.lr=1", "learner.lr: with --into the results that are there keep their configuration"),
    ],
)
def test_what_does_not_go_with_a_stored_comparison_is_refused(capsys, words, message):
    assert main(["compare", *words.split()]) == 2
    assert capsys.readouterr().err.startswith(f"clep: error: {message}")


def test_what_failed_is_named_with_the_command_that_runs_it_again(pipelines, capsys):
    pipelines.failed, pipelines.failures = True, ["naive, seed 3: FAILED: boom"]
    pipelines.again = "clep compare --resume x"
    assert main(["compare"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["clep: naive, seed 3: FAILED: boom", "clep: run what failed again: clep compare --resume x"]


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


@pytest.mark.parametrize("words", ["", "rum", "run --jsn", "list cells", "list --jsn", "list streams networks"])
def test_a_usage_error_exits_with_2_and_prints_nothing_on_stdout(capsys, words):
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error:" in err


def examples(command):
    return [example for row in COMMANDS if row.name == command for example in row.examples]


@pytest.mark.parametrize("command", [row.name for row in COMMANDS])
def test_the_help_of_a_command_teaches_it(capsys, command):
    """What it does and prints, the keys to know, examples to copy, and the exit codes."""
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    (row,) = [row for row in COMMANDS if row.name == command]
    assert shown.startswith(f"usage: clep {command} ")
    assert row.help in " ".join(shown.split())
    assert row.prints in " ".join(shown.split())
    assert all(f"  {example}\n" in shown for example in row.examples)
    assert all(f"  {key} " in shown for key in row.keys)
    assert all(meaning in " ".join(shown.split()) for meaning in row.meanings().values())
    assert shown.rstrip().endswith(
        "exit codes: 0 success, 1 a run failed, 2 wrong usage or configuration, 130 interrupted (143 by kill, 129 by "
        "hangup), 75 to be queued again (SIGUSR1; SIGTERM in a SLURM job)"
    )


def test_compare_refuses_what_it_would_ignore_and_a_bad_cell_before_anything_is_run(pipelines, capsys):
    for words, message in (
        ("strategies=ewc", "strategies: `clep compare` takes sets of strategies from its cells; set cells=[[ewc]]"),
        ("cells=[[naive],[ewcc]]", "cells[1]: unknown strategy `ewcc`"),
        ("baseline=jont", "baseline: unknown cell `jont`; did you mean `joint`?"),
    ):
        assert main(["compare", words]) == 2
        assert capsys.readouterr().err.startswith(f"clep: error: {message}")
    assert pipelines.seen == []


def test_the_help_of_compare_names_its_own_keys(capsys):
    main(["compare", "--help"])
    keys = capsys.readouterr().out.partition("keys to know:\n")[2].partition("\n\n")[0]
    named = [line.split()[0] for line in keys.splitlines() if not line.startswith("   ")]
    assert named == ["cells", "controls", "grid", "seeds", "workers", "baseline", "columns"]


def test_the_help_of_clep_names_every_command_and_has_examples(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    listed = {line.split()[0] for line in shown.splitlines() if line.startswith("    ")}
    assert {row.name for row in COMMANDS} <= listed
    assert "  clep run\n" in shown.partition("examples:\n")[2]


@pytest.mark.parametrize("command", ["run", "compare", "tune", "steps", "show"])
def test_the_examples_of_the_help_compose(command):
    """A renamed key would leave an example behind that its reader cannot run."""
    assert len(examples(command)) > 1
    for example in examples(command):
        arguments = parse(shlex.split(example.partition(">")[0])[1:])
        items = [item for item in arguments.items if item != "my.yaml"]
        if items[:1] == ["strategy"]:  # composes nothing; see tests/test_portrait.py
            continue
        assert config.compose(items.pop(0) if items and "=" not in items[0] else None, items)


@pytest.mark.parametrize("example", [example for row in COMMANDS for example in row.examples])
def test_every_example_of_the_help_parses(example):
    words = shlex.split(example.partition(" >")[0])
    assert parse(words[1:]).command.name == words[1]


def test_every_key_to_know_is_a_key():
    for row in COMMANDS:
        for key in [key for keys in row.keys for key in keys.split(", ") if key != "strategy.NAME.KEY"]:
            assert key in schema.key_paths()


def test_a_key_to_know_is_explained_by_its_option(capsys):
    """A second text would go its own way."""
    main(["tune", "--help"])
    assert f"  tune.seeds   {schema.meaning('tune.seeds')}\n" in capsys.readouterr().out


def test_the_help_of_bench_names_every_case(capsys):
    main(["bench", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    cases = [*UPDATES, *SLEEPS, *PIPELINES, *POPULATIONS, *SCALINGS]
    assert f"{', '.join(cases)} (default: {', '.join(UPDATES)})" in words


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"clep {metadata.version('clep-lab')}\n"


def shown(capsys, tmp_path, *words):
    """What `clep show` prints, as a file and as a mapping."""
    assert main(["show", *words]) == 0
    path = tmp_path / "shown.yaml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path, yaml.safe_load(path.read_text(encoding="utf-8"))


def test_show_prints_yaml_that_composes_to_the_same_config(capsys, tmp_path):
    path, _ = shown(capsys, tmp_path, "mnist", "network=ep", "learner.epochs=3")
    assert config.compose(path) == config.compose("mnist", ["network=ep", "learner.epochs=3"])


def test_show_as_json_is_the_same_configuration(capsys):
    assert main(["show", "mnist", "learner.epochs=3", "--json"]) == 0
    assert config.compose(json.loads(capsys.readouterr().out)) == config.compose("mnist", ["learner.epochs=3"])


@pytest.mark.parametrize("command", [row.name for row in COMMANDS])
def test_every_command_can_print_json(command):
    words = {"fork": ["0123abcd", "--after", "1"], "pipeline": ["compare"], "new": ["strategy", "mine"]}.get(
        command, []
    )
    assert parse([command, *words, "--json"]).json


@pytest.mark.parametrize("name", sorted({*registry.names()} - {"gem"}))
def test_show_prints_every_parameter_of_a_strategy_and_run_accepts_it(capsys, tmp_path, name):
    """A default that the checks of `clep run` refuse would make the printed file useless."""
    path, values = shown(capsys, tmp_path, f"strategies={name}")
    assert values["strategies"] == [name]
    expected = registry.defaults(registry.find(name)) | config.compose({}, [f"strategies={name}"]).strategy.get(
        name, {}
    )
    assert values["strategy"].get(name, {}) == expected
    composed = config.compose(path)
    assert build.resolved(composed) == composed
    build.build_strategies(composed)


def test_what_the_command_line_says_of_a_strategy_goes_before_its_default(capsys, tmp_path):
    _, values = shown(capsys, tmp_path, "strategies=[awake_rehearsal,sleep_replay]", "strategy.sleep_replay.keep=0.7")
    assert values["strategy"]["sleep_replay"]["keep"] == 0.7
    assert set(values["strategy"]["sleep_replay"]) == set(registry.defaults(registry.find("sleep_replay")))
    assert "fraction" in values["strategy"]["awake_rehearsal"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("strategies=sleep_replay strategy.sleep_replay.stps=3", "strategy.sleep_replay.stps: unknown key `stps`"),
        ("strategies=sleep_replay strategy.sleep_replay.steps=-1", "strategy.sleep_replay.steps: "),
        ("strategies=replay strategy.replay.mem_size=many", "strategy.replay.mem_size: expected"),
        ("strategies=slep_replay", "strategies: unknown strategy `slep_replay`; did you mean `sleep_replay`?"),
    ],
)
def test_show_refuses_the_parameters_that_run_refuses(capsys, words, message):
    assert main(["show", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"clep: error: {message}")


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
