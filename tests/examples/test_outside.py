"""The example files for what others have built: each runs as it is, and prints what the other side says too."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.oracles.stores import empty_store

EXAMPLES = Path(__file__).parents[2] / "examples"
NUMBER = r"(-?\d+\.\d+)"


@pytest.fixture
def printed(capsys):
    """`printed(name)`: what an example prints, run in the empty folder of this test and in this process."""

    def run(name):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def numbers(text, pattern):
    return [float(number) for number in re.search(pattern.replace("NUMBER", NUMBER), text).groups()]


@pytest.mark.slow
def test_a_strategy_of_clep_protects_in_plain_avalanche_and_its_logger_writes(printed):
    out = printed("plain_avalanche")
    naive, rehearsed = (
        numbers(out, f"{name} +accuracy NUMBER +forgetting NUMBER") for name in ("naive", "awake rehearsal")
    )
    assert naive[0] < 0.3 < 0.7 < rehearsed[0]
    assert rehearsed[1] < 0.5 < naive[1]
    header, *rows = Path("log/eval_results.csv").read_text().splitlines()
    assert "forgetting" in header
    assert len(rows) >= 25


@pytest.mark.slow
def test_plain_lightning_stops_early_and_its_best_checkpoint_is_a_learner(printed, tmp_path):
    empty_store(tmp_path)
    out = printed("plain_lightning")
    (best,) = numbers(out, "best accuracy NUMBER")
    assert best > 0.9
    assert numbers(out, "the checkpoint has NUMBER") == [best]
    assert int(re.search(r"epoch (\d+)", out).group(1)) < 20


@pytest.mark.slow
def test_two_processes_keep_equal_weights(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(EXAMPLES / "ddp.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300, check=False
    )
    assert "2 processes, equal weights: True" in done.stdout, done.stderr
    assert numbers(done.stdout, "accuracy NUMBER")[0] > 0.8


@pytest.mark.slow
def test_a_block_in_a_sequence_of_layers_learns_and_lets_the_layers_below_it_learn(printed):
    out = printed("ep_block")
    assert numbers(out, "below the block: NUMBER")[0] > 0.9
    assert numbers(out, "accuracy NUMBER")[0] > 0.8


def test_an_exported_network_has_the_outputs_of_the_network_and_a_tolerance_is_refused(printed):
    same, refusal = printed("export").splitlines()
    assert same == "equal outputs for 360 images: True"
    assert refusal.startswith("tolerance: 0.001 ends a relaxation when the states say so")
    assert refusal.endswith("export a network with tolerance=0")
    assert torch.export.load("network.pt2").module()(torch.zeros(2, 64)).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a compiler")
def test_a_compiled_network_has_the_outputs_and_the_gradients_of_the_network(printed):
    assert printed("compiled") == "equal outputs: True\nequal gradients: True\n"
