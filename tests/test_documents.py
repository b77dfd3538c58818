"""YAML that says something else than it looks like, and numbers and files that no machine holds."""

import os

import pytest
import yaml

from clep.build import build_learner, build_stream
from clep.config import compose
from clep.documents import refuse_ambiguous
from clep.errors import ConfigError


@pytest.mark.parametrize("written", ["010", "-017", "0_7", "1:30", "1:2:3", "+1:30.5", "10:00"])
def test_a_number_that_yaml_reads_otherwise_is_refused_with_its_key_on_the_command_line_and_in_a_file(
    written, tmp_path
):
    meant = yaml.safe_load(written)
    assert isinstance(meant, int | float)
    assert str(meant) != written
    message = rf"^learner\.epochs: YAML reads `{written.replace('+', '.')}` as the number {meant}; write {meant}, or"
    with pytest.raises(ConfigError, match=message):
        compose(None, [f"learner.epochs={written}"])
    (tmp_path / "mine.yaml").write_text(f"seeds: [1, 2]\nlearner:\n  epochs: {written}  # 010\n")
    with pytest.raises(ConfigError, match=message + r".* \(set in .*mine\.yaml\)$"):
        compose(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    "text",
    ["10", "0", "0.10", "-0.5", "1e-05", "0x1F", "0o17", "08", "'010'", '"1:30"', "12:34:56 o'clock", "a010", "1_000"],
)
def test_numbers_and_texts_that_mean_what_they_look_like_are_left_alone(text):
    refuse_ambiguous(f"[{text}, {{a: [1, {text}]}}]")
    refuse_ambiguous(text, "key")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (f"seed=1{'0' * 400}", r"^seed: expected an integer, below 2\^63, got 1000"),
        (f"seed=1{'0' * 5000}", r"^seed: `1000.*` is not YAML"),
        (f"learner.lr=1{'0' * 400}", r"^learner\.lr: expected a number, below 2\^63"),
        ("learner.lr=1e999", r"^learner\.lr: expected a number above 0, got inf"),
        ("stream.samples_per_experience=9223372036854775808", r"^stream\.samples_per_experience: .*below 2\^63"),
        ("threads=1000000000000", r"^threads: expected an integer in \[1, 1024\]"),
        (f"seeds={'[' * 5000}", r"^seeds: "),
        (f"seeds={'[' * 900}{']' * 900}", r"^seeds"),
        (f"tune.space={'{a: ' * 900}1{'}' * 900}", r"^tune\.space"),
        ("strategy={1: {}}", r"^strategy: expected the name of a strategy, got 1"),
        ("strategy={naive: {1: 2}}", r"^strategy\.naive: expected names of parameters, got 1"),
    ],
)
def test_what_is_too_large_too_deep_or_no_name_is_refused_with_its_key(change, message):
    with pytest.raises(ConfigError, match=message):
        compose(None, [change])


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (["network.hidden=[1000000000000]"], "hidden"),
        (["network.hidden=[9000000000000000000]"], "hidden"),
        (["network.hidden=[1000000,1000000]"], "hidden"),
        (["network=feedforward", "network.hidden=[10000000000]"], "hidden"),
        (["network.channels=[100000000000]"], "channels"),
    ],
)
def test_a_network_that_fits_into_no_memory_is_refused_with_its_key(changes, key):
    config = compose(None, changes)
    with pytest.raises(ConfigError, match=rf"^network\.{key}: the weights of layers of .* do not fit into memory"):
        build_learner(config, build_stream(config))


def test_a_configuration_in_a_pipe_or_a_folder_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ConfigError, match=rf"{name}\.yaml: is no file"):
            compose(str(tmp_path / f"{name}.yaml"))


def test_a_home_folder_that_is_not_there_is_refused_with_its_key():
    with pytest.raises(ConfigError, match=r"^data\.root: `~nobody-here`: "):
        build_stream(compose(None, ["data.root=~nobody-here"]))
