"""The README does what it says: its commands compose, its Python runs, its strategy trains as written."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import clep.equilibrium
from clep.config import compose, to_dict
from clep.tracking import flatten

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


COMMANDS = [
    shlex.split(line, comments=True)
    for block in blocks("bash")
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith(("clep run", "clep compare", "clep show", "clep tune", "clep steps"))
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_clep_command_of_the_readme_composes(command):
    words = command[2:]
    config, overrides = (words[0], words[1:]) if words and "=" not in words[0] else (None, words)
    compose(config, overrides)


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", "".join(blocks("bash")))) <= targets


def test_the_strategy_of_the_readme_trains_as_written(tmp_path):
    """Saved under the name the README gives and run by the command the README shows, with a smaller learner."""
    code = re.search(r"<!-- strategy:begin -->\n```python\n(.*?)```", README, flags=re.DOTALL).group(1)
    (tmp_path / "weight_averaging.py").write_text(code)
    (command,) = [c for c in COMMANDS if c[1] == "run" and "weight_averaging" in c[2]]
    small = ["stream.samples_per_experience=64", "learner.epochs=2", "network.hidden=[32]", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "clep.cli", *command[1:], *small], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert '"strategies": ["weight_averaging:WeightAveraging"]' in done.stdout


EQUILIBRIUM = (ROOT / "docs" / "equilibrium.md").read_text()


def test_every_key_and_class_of_the_page_on_equilibrium_propagation_exists():
    """A table of options goes stale where nobody looks."""
    keys = re.findall(r"^\| `((?:network|learner)\.[a-z_]+)`", EQUILIBRIUM, flags=re.MULTILINE)
    assert len(keys) > 10
    assert all(key in flatten(to_dict(compose())) for key in keys)
    classes = re.findall(r"\| `([A-Z]\w+)`", EQUILIBRIUM)
    assert all(hasattr(clep.equilibrium, name) for name in classes)


def test_the_python_of_the_page_on_equilibrium_propagation_runs_as_written(tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", EQUILIBRIUM, flags=re.DOTALL)
    assert snippets
    for code in snippets:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_python_of_the_readme_runs_as_written(tmp_path):
    (code,) = [block for block in blocks("python") if "pl.Trainer" in block]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert -1 <= float(done.stdout.splitlines()[-1]) <= 1
