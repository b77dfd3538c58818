"""Configuration: what is composed from which source, and where an error says that a value was set."""

import dataclasses
import itertools
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import pytest

from clep import config, parts
from clep.config import Config, compose, replace, to_dict, to_yaml
from clep.errors import ConfigError

FULL = ["stream.class_order=[3,1,2]", "strategies=b", "strategy.a={x: 1e-5, y: 'on'}", "strategy.m:C.z=null"]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A copy of configs/ that a test may add files to."""
    folder = tmp_path / "shipped"
    shutil.copytree(str(resources.files("clep.configs")), folder)
    (folder / "strategy").mkdir(exist_ok=True)
    monkeypatch.setattr(config, "resources", SimpleNamespace(files=lambda package: folder))
    return folder


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def message(source, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(source, overrides)
    return str(caught.value)


def test_an_error_from_a_file_names_the_file(tmp_path):
    path = write(tmp_path / "my.yaml", "learner:\n  epoch: 3\n")
    assert message(path).startswith("learner.epoch: unknown key `epoch`; did you mean `epochs`?")
    assert message(path).endswith(f"(set in {path})")
    path = write(tmp_path / "my.yaml", "learner:\n  lr: fast\n")
    assert message(path) == f"learner.lr: expected a number, got 'fast' (set in {path})"
    path = write(tmp_path / "my.yaml", "learner:\n  lr: -1\n")
    assert message(path).endswith(f"got -1.0 (set in {path})")
    path = write(tmp_path / "my.yaml", "cells: [[naive], [ewc, joint]]\n")
    assert message(path).endswith(f"(set in {path})")


def test_an_error_from_the_command_line_names_no_file(tmp_path):
    path = write(tmp_path / "my.yaml", "learner:\n  lr: 1\n")
    assert "set in" not in message(path, "learner.lr=-1")


def test_an_error_in_a_picked_file_names_that_file(tmp_path):
    wide = write(tmp_path / "wide.yaml", "hiden: [400]\n")
    assert message(None, f"network={wide}").startswith("network.hiden: unknown key `hiden`; did you mean `hidden`?")
    assert message(None, f"network={wide}").endswith(f"(set in {wide})")
    lost = write(tmp_path / "lost.yaml", "name: hts\n")
    assert message(None, f"network={lost}").endswith(f"(set in {lost})")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed: 1\nlearner: {lr: 1\n", 3),
        ("seed: 1\nseed: 2\n", 2),
        ("a: b: c\n", 1),
        ("seed: @x\n", 1),
        ("x: !what 3\n", 1),
    ],
)
def test_a_syntax_error_names_file_and_line(tmp_path, text, line):
    path = write(tmp_path / "bad.yaml", text)
    assert message(path).startswith(f"{path}, line {line}: cannot be read as YAML: ")


def test_what_is_no_config_file_is_refused(tmp_path):
    assert "No such file" in message(str(tmp_path / "absent.yaml"))
    assert "expected keys and their values, got [1, 2]" in message(write(tmp_path / "list.yaml", "[1, 2]"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert message(tmp_path / "binary.yaml").startswith(f"{tmp_path / 'binary.yaml'}: cannot be read as YAML")


def test_an_unknown_config_name_lists_the_pipelines_and_the_nearest():
    text = message("class_incremetal")
    assert text.startswith(
        "config: unknown config `class_incremetal`; did you mean `class_incremental`? Valid configs: "
    )
    assert text.endswith("or a path that ends in .yaml")


def test_without_config_the_digits_pipeline_is_composed():
    assert compose() == compose("class_incremental")
    assert compose().stream.name == "digits"


def test_an_empty_mapping_gives_the_neutral_defaults():
    assert compose({}) == Config()


@pytest.mark.parametrize("name", config.builtin("pipeline"))
def test_every_pipeline_composes_and_survives_the_round_trip(name, tmp_path):
    composed = compose(name)
    assert compose(write(tmp_path / "config.yaml", to_yaml(composed))) == composed


def test_a_composed_config_survives_yaml_dict_and_object(tmp_path):
    composed = compose(
        "mnist", [*FULL, "network=ep", "learner.lr=1e-5", "data.root='2021-01-01'", "cells=[[a,b],[joint]]"]
    )
    assert composed.strategy["a"] == {"x": 1e-5, "y": "on"}
    assert composed.strategy["m:C"] == {"z": None}
    assert compose(write(tmp_path / "config.yaml", to_yaml(composed))) == composed
    assert compose(to_dict(composed)) == composed
    assert compose(composed) == composed


@pytest.mark.parametrize("group", ["stream", "network"])
def test_everything_in_a_group_is_picked_by_its_own_name(group):
    names = parts.own("dataset") if group == "stream" else list(config.builtin(group))
    assert len(names) > 5
    for name in names:
        path = ["stream.path=x"] if name in ("npz", "folder") else []
        composed = compose({}, [f"{group}={name}", *path])
        assert getattr(composed, group).name == name


@pytest.mark.parametrize("group", ["pipeline", "network", "strategy"])
def test_every_built_in_file_begins_with_a_line_that_says_what_it_is(group):
    for file in (resources.files("clep.configs") / group).glob("*.yaml"):
        assert file.read_text(encoding="utf-8").startswith("# ")
        assert len(config.builtin(group)[file.stem]) > 10


def test_each_source_beats_the_one_before_it(tmp_path):
    path = write(tmp_path / "my.yaml", "network: {name: ep, time_step: {spread: 0.1, mean: 0.9}}\n")
    steps = compose(path, ["network.time_step.mean=0.8"]).network.time_step
    assert steps.min == 0.05  # the schema
    assert steps.distribution == "scalar"  # configs/network/ep.yaml
    assert steps.spread == 0.1  # the user's file
    assert steps.mean == 0.8  # the command line


def test_a_pick_on_the_command_line_beats_the_config_and_keeps_what_it_does_not_set():
    stored = to_dict(compose({"network": {"hidden": [7], "time_step": {"spread": 0.1}}}))
    network = compose(stored, ["network=ep"]).network
    assert (network.name, network.time_step.distribution, network.time_step.mean) == ("ep", "scalar", 1.0)
    assert network.hidden == [7]


def test_a_network_brings_what_its_learning_rule_needs_and_anything_said_later_beats_it(tmp_path):
    assert compose({}, ["network=bptt"]).learner.gradient == "bptt"
    assert compose({}, ["network=bptt", "learner.gradient=linear"]).learner.gradient == "linear"
    (tmp_path / "mine.yaml").write_text("network: bptt\nlearner: {gradient: cost}\n")
    assert compose(tmp_path / "mine.yaml").learner.gradient == "cost"
    assert compose(tmp_path / "mine.yaml", ["network=chl"]).learner.gradient == "clamped"


def test_a_pick_leaves_nothing_of_the_file_it_replaces(tmp_path):
    path = write(tmp_path / "my.yaml", "network: ep\n")
    assert compose(path, ["network=hts_ep"]) == compose({})


def test_overrides_of_different_keys_commute():
    overrides = ["network=ep", "network.time_step.mean=0.5", "stream=mnist", "stream.experiences=2"]
    composed = {to_yaml(compose(None, order)) for order in itertools.permutations(overrides)}
    assert len(composed) == 1
    assert compose(None, overrides).network.time_step.mean == 0.5


def test_of_equal_keys_the_last_one_counts():
    assert compose(None, ["seed=1", "seed=2"]).seed == 2
    assert compose(None, ["stream=mnist", "stream=kmnist"]).stream.name == "kmnist"
    assert compose(None, ["network.hidden=[1,2]", "learner.lr_scale=[]", "network.hidden=[3]"]).network.hidden == [3]


def test_a_group_in_yaml_is_a_name_or_a_mapping_with_a_name():
    assert compose({"network": "ep"}) == compose({"network": {"name": "ep"}})
    network = compose({"network": {"name": "ep", "hidden": [5]}}).network
    assert (network.hidden, network.time_step.distribution) == ([5], "scalar")


def test_a_group_can_be_picked_by_the_path_of_a_file(tmp_path):
    wide = write(tmp_path / "wide.yaml", "name: ep\nhidden: [900]\nbias: true\n")
    network = compose("mnist", ["network.bias=false", f"network={wide}"]).network
    assert (network.name, network.time_step.distribution) == ("ep", "scalar")  # the built-in that the file names
    assert network.hidden == [900]  # beats the pipeline
    assert network.bias is False  # the command line beats the file
    unnamed = write(tmp_path / "unnamed.yaml", "hidden: [5]\n")
    network = compose({"network": "ep"}, [f"network={unnamed}"]).network
    assert (network.name, network.time_step.distribution, network.hidden) == ("ep", "scalar", [5])


def test_values_are_yaml_and_integers_pass_as_floats():
    composed = compose({}, ["learner.lr=1", "network.hidden=[256, 128]", "cells=[[naive],[joint]]", "stream.path=null"])
    assert (composed.learner.lr, type(composed.learner.lr)) == (1.0, float)
    assert (composed.network.hidden, composed.cells) == ([256, 128], [["naive"], ["joint"]])
    assert composed.stream.path is None
    assert compose({}, ["data.root=a=b"]).data.root == "a=b"


def test_interpolation_is_resolved():
    assert compose({"seed": 3, "threads": "${seed}"}).threads == 3


@pytest.mark.parametrize("value", ["ewc", "[ewc]"])
def test_one_strategy_needs_no_brackets(value):
    assert compose(None, [f"strategies={value}"]).strategies == ["ewc"]
    assert compose({"strategies": "ewc"}).strategies == ["ewc"]


def test_a_strategy_named_by_its_import_path_takes_parameters():
    composed = compose(None, ["strategies=[package.module:Mine]", "strategy.package.module:Mine.steps=3"])
    assert composed.strategies == ["package.module:Mine"]
    assert composed.strategy["package.module:Mine"] == {"steps": 3}


def test_selected_strategies_get_their_defaults_below_the_users_values(shipped):
    for name in ("one", "two", "three"):
        write(shipped / "strategy" / f"{name}.yaml", f"# {name}\na: 1\nb: 1\n")
    source = {"strategies": ["one"], "cells": [["two", "plain"]], "strategy": {"one": {"b": 2}}}
    composed = compose(source, ["strategy.two.a=5"])
    assert composed.strategy == {"one": {"a": 1, "b": 2}, "two": {"a": 5, "b": 1}}
    assert replace(composed, strategies=["three"]).strategy["three"] == {"a": 1, "b": 1}


def test_replace_returns_a_checked_copy_and_leaves_the_original():
    composed = compose(None, ["strategies=ewc", "strategy.ewc.ewc_lambda=2"])
    changed = replace(composed, strategies=["naive"], seed=1, learner={"lr": 0.5})
    assert (changed.strategies, changed.seed, changed.learner.lr) == (["naive"], 1, 0.5)
    assert changed.learner.epochs == composed.learner.epochs
    assert (composed.strategies, composed.seed) == (["ewc"], 0)
    assert replace(composed, learner=dataclasses.replace(composed.learner, lr=0.5)).learner.lr == 0.5
    with pytest.raises(ConfigError, match=r"^seed: expected an integer of at least 0, got -1"):
        replace(composed, seed=-1)
    with pytest.raises(ConfigError, match=r"^sed: unknown key `sed`; did you mean `seed`"):
        replace(composed, sed=1)


@pytest.mark.parametrize(
    "changes",
    [["strategies=b", "strategy.b={x: 1e-5}"], ["network=conv_ep", "cells=[naive, {label: e, set: [network=ep]}]"]],
)
def test_another_seed_is_what_replace_makes_of_it(changes, shipped):
    write(shipped / "strategy" / "b.yaml", "# b\nx: 1\n")
    composed = compose(None, changes)
    changed = config.seeded(composed, 3)
    assert changed == replace(composed, seed=3)
    assert changed.strategies is not composed.strategies
    for seed in (-1, "a", True, 2**70):
        with pytest.raises(ConfigError) as expected:
            replace(composed, seed=seed)
        with pytest.raises(ConfigError) as caught:
            config.seeded(composed, seed)
        assert str(caught.value) == str(expected.value)


def test_two_configs_share_no_list():
    compose({}).network.hidden.append(1)
    assert compose({}).network.hidden == [256]


def test_values_that_yaml_cannot_hold_are_refused_by_name():
    assert message({"strategy": {"ewc": {"criterion": object()}}}).startswith("strategy.ewc.criterion: ")


def test_a_label_joins_the_names_of_a_set():
    assert config.label(["awake_rehearsal", "sleep_replay"]) == "awake_rehearsal+sleep_replay"
    assert config.label([]) == "naive"


def test_importing_the_config_imports_no_heavy_library():
    code = "import sys, clep.config; print({'torch', 'avalanche', 'mlflow', 'pytorch_lightning'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
