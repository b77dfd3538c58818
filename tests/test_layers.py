"""Who may know whom: data flows one way, and importing clep is cheap."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import clep.pipelines
import clep.strategies

import clep

ROOMS = {
    "clep": Path(clep.__file__).parent,
    "clep.strategies": Path(clep.strategies.__file__).parent,
    "clep.pipelines": Path(clep.pipelines.__file__).parent,
}


def imports():
    """(module, imported module) of every import statement, those inside functions included."""
    for room, folder in ROOMS.items():
        for path in sorted(folder.rglob("*.py")):
            module = ".".join([room, *path.relative_to(folder).with_suffix("").parts]).removesuffix(".__init__")
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from ((module, alias.name) for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield module, node.module
                    yield from ((module, f"{node.module}.{alias.name}") for alias in node.names)


def importers(*prefixes):
    return {m for m, name in imports() if any(name == p or name.startswith(f"{p}.") for p in prefixes)}


def test_only_tracking_knows_mlflow():
    assert importers("mlflow") == {"clep.tracking.store"}


def test_the_equilibrium_room_knows_torch_and_errors_alone():
    room = {m for m, _ in imports() if m.startswith("clep.equilibrium")}
    assert len(room) >= 8
    assert not room & importers(
        "pytorch_lightning", "avalanche", "omegaconf", "clep.bridge", "clep.training", "clep.learner"
    )
    own = {name for m, name in imports() if m in room and name.startswith("clep.")}
    assert all(name.startswith(("clep.equilibrium", "clep.errors")) for name in own)


def test_the_learner_imports_no_avalanche_and_training_reads_no_config():
    assert "clep.learner" not in importers("avalanche")
    assert not {"clep.bridge", "clep.training"} & importers(
        "clep.config", "clep.schema", "clep.tracking", "clep.report"
    )


def test_only_pipelines_and_the_api_know_pipelines():
    outside = {m for m in importers("clep.pipelines") if not m.startswith("clep.pipelines.")}
    assert outside <= {"clep.api", "clep.commands"}


def test_strategies_know_neither_each_other_nor_pipelines_nor_tracking():
    assert not {m for m in importers("clep.strategies") if m.startswith("clep.strategies.")}
    foreign = importers("clep.tracking", "clep.config", "clep.build", "clep.pipelines", "argparse")
    assert not {m for m in foreign if m.startswith("clep.strategies")}


def test_nothing_imports_the_other_lightning():
    """`lightning` and `pytorch_lightning` are two packages whose classes do not mix."""
    assert not importers("lightning")


def test_the_wheel_holds_every_package():
    """Packages are listed by hand; an editable install, which tests run in, works without."""
    project = Path(__file__).parent.parent
    listed = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(project) for path in (project / "clep").rglob("__init__.py")}
    assert len(folders) >= 7
    assert {".".join(folder.parts) for folder in folders} <= set(listed)


def test_every_public_name_is_there():
    assert all(getattr(clep, name) is not None for name in clep.__all__)
    assert set(clep.__all__) == {*clep._HOMES, "__version__"}


def test_importing_clep_imports_nothing_heavy():
    code = "import sys, clep; print([m for m in ('torch', 'avalanche', 'mlflow', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
