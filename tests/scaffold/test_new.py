"""`clep new` writes parts that work as they are, and overwrites nothing."""

import doctest
import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import clep
from clep import scaffold
from clep.claims.claim import read
from clep.cli import main
from clep.errors import ConfigError

ROOT = Path(clep.__file__).parent.parent
PACKAGES = sorted(set(scaffold.KINDS) - {"claim"})


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_package_registers_a_part_that_is_there_and_documented(kind, tmp_path, monkeypatch):
    name = f"made_{kind}"
    assert main(["new", kind, name]) == 0
    monkeypatch.syspath_prepend(tmp_path / name)
    project = tomllib.loads((tmp_path / name / "pyproject.toml").read_text())
    assert project["project"]["dependencies"] == ["clep-lab"]
    ((group, entries),) = project["project"]["entry-points"].items()
    assert (group, list(entries)) == (
        f"clep.{kind}{'ies' if kind == 'strategy' else 's'}".replace("yies", "ies"),
        [name],
    )
    module, _, attribute = entries[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert found is getattr(importlib.import_module(name), attribute)
    tests = doctest.DocTestFinder(exclude_empty=True).find(found, attribute, globs={attribute: found})
    assert sum(len(test.examples) for test in tests) >= 1
    assert all(doctest.DocTestRunner().run(test).failed == 0 for test in tests)


def test_a_claim_composes(tmp_path, capsys):
    assert main(["new", "claim", "mine", "--into", "claims", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["mine.yaml"]
    claim = read(tmp_path / "claims" / "mine.yaml", "mine.yaml")
    assert [config.strategies for _, config in claim.composed(small=True)] == [
        ["naive"],
        ["awake_rehearsal"],
        ["joint"],
    ]


def test_nothing_is_overwritten(tmp_path):
    scaffold.new("strategy", "mine", tmp_path)
    changed = tmp_path / "mine" / "strategy.py"
    changed.write_text("mine")
    with pytest.raises(ConfigError, match=r"--into: .*pyproject\.toml exists; choose another folder or name"):
        scaffold.new("strategy", "mine", tmp_path)
    assert changed.read_text() == "mine"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("strategy", "ewc", "new: there is a strategy `ewc` already"),
        ("dataset", "digits", "new: there is a data set `digits` already"),
        ("strategy", "json", r"new: there is a module `json` already, in .*__init__\.py; choose another name"),
        ("strategy", "My-Idea", "new: `My-Idea` is no name of a module: .*; did you mean `my_idea`?"),
        ("network", "class", "new: `class` is no name of a module"),
        ("claim", "sleep_mnist", "new: clep has a claim `sleep_mnist` already"),
        ("strategie", "mine", "new: unknown kind of part `strategie`; did you mean `strategy`?"),
    ],
)
def test_a_name_that_is_taken_or_none_is_refused_before_anything_is_written(kind, name, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        scaffold.new(kind, name, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def python(*words, cwd, **variables):
    """Run Python outside of the checkout; what it prints."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "CLEP_CACHE")}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_wheels_of_clep_and_of_every_package_work_in_an_environment_of_their_own(tmp_path):
    """The libraries are those of this environment; clep and the packages are installed from their wheels."""
    home = tmp_path / "home"
    python(sys.executable, "-m", "venv", "--without-pip", home, cwd=tmp_path)
    site = next(home.glob("lib/python*/site-packages"))
    # Libraries come after what is installed here. An editable clep among them would be found first; none is followed.
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("\n".join(libraries))
    pip, wheels = [sys.executable, "-m", "pip"], tmp_path / "wheels"
    sources = tmp_path / "clep"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for file in filter(None, listed.split("\0")):
        if (ROOT / file).is_file():
            (sources / file).parent.mkdir(parents=True, exist_ok=True)
            (sources / file).write_bytes((ROOT / file).read_bytes())
    projects = [sources, *(tmp_path / f"packed_{kind}" for kind in PACKAGES)]
    for kind in PACKAGES:
        scaffold.new(kind, f"packed_{kind}", tmp_path / f"packed_{kind}")
    flags = ["--quiet", "--no-deps", "--no-build-isolation"]
    reached = {"PYTHONPATH": os.pathsep.join(libraries)}
    for project in projects:
        python(*pip, "wheel", *flags, "--wheel-dir", wheels, project, cwd=tmp_path, **reached)
    python(*pip, "install", "--quiet", "--no-deps", "--target", site, *wheels.glob("*.whl"), cwd=tmp_path, **reached)
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = home / "bin" / "python"
    assert str(site) in python(inside, "-c", "import clep; print(clep.__file__)", cwd=outside)
    names = "stream=packed_dataset network=packed_network cells=[naive,packed_strategy] seeds=[0,1] workers=1"
    small = "controls=none learner.epochs=1 stream.experiences=2 stream.samples_per_experience=40"
    printed = python(inside, "-m", "clep", "compare", *names.split(), *small.split(), "--json", cwd=outside)
    compared = json.loads(printed)
    assert [row["label"] for row in compared["table"]] == ["naive", "packed_strategy"]
    assert [run["status"] for run in compared["runs"]] == ["FINISHED"] * 4
    assert {"packed_strategy", "packed_network", "packed_dataset"} <= set(
        python(inside, "-m", "clep", "list", cwd=outside).split()
    )
    tests = [tmp_path / f"packed_{kind}" / "tests" for kind in PACKAGES]
    python(inside, "-m", "pytest", "-q", "--import-mode=importlib", *tests, cwd=outside)
