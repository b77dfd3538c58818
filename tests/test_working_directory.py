"""A module in the working directory is found by its import path, and never takes the place of a dependency."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SHADOW = """import pathlib
pathlib.Path(__file__).with_name("RAN").write_text(__name__)
raise ImportError(f"{__name__} of the working directory")
"""
NAMES = [
    "pandas",
    "profile",
    "torch",
    "numpy",
    "yaml",
    "mlflow",
    "signal",
    "queue",
    "statistics",
    "tqdm",
    "clep",
    "types",
]
NAMES += ["sitecustomize", "usercustomize", "PIL", "omegaconf", "avalanche", "pytorch_lightning", "multiprocessing"]
MINE = "import clep\nclass Mine(clep.Strategy):\n    pass\n"


COMMANDS = {"clep": [str(Path(sys.executable).with_name("clep"))], "python -m clep": [sys.executable, "-m", "clep"]}


def clep_in(folder, *words, name="clep"):
    command = [*COMMANDS[name], *words]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(SHADOW)
    (tmp_path / "my_module.py").write_text(MINE)
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_loads_its_own_libraries_and_the_strategy_that_is_named(folder, name):
    if name == "python -m clep":  # which finds `clep` as Python finds any module
        (folder / "clep.py").unlink()
    done = clep_in(folder, "show", "strategies=[my_module:Mine]", name=name)
    assert not (folder / "RAN").exists()
    assert (done.returncode, "my_module:Mine" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_workers_of_a_comparison_do_so_too(folder, name):
    if name == "python -m clep":
        (folder / "clep.py").unlink()
    small = ["stream.samples_per_experience=20", "learner.epochs=1", "network.hidden=[8]", "seeds=[0]"]
    done = clep_in(folder, "compare", *small, "cells=[['my_module:Mine']]", "controls=none", name=name)
    assert not (folder / "RAN").exists()
    assert done.returncode == 0, done.stderr
