"""Who may know whom: data flows one way, and importing clep is cheap."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import clep.pipelines
import clep.strategies
import pytest

import clep

FOLDERS = {
    "clep": Path(clep.__file__).parent,
    "clep.strategies": Path(clep.strategies.__file__).parent,
    "clep.pipelines": Path(clep.pipelines.__file__).parent,
}

ORDER = [
    {
        "clock",
        "collecting",
        "compiling",
        "distribution",
        "errors",
        "identity",
        "interrupts",
        "masking",
        "processes",
        "progress",
        "temporary",
    },
    {"checks", "destinations", "documents", "randomness", "ranks", "metric_names", "metrics", "statistics"},
    {"imports", "parts", "renames"},
    {"sources"},
    {"specs", "parameters"},
    {"datasets"},
    {"computed"},
    {"columns"},
    {"schema"},
    {"cells", "answer"},
    {"config", "tables", "frames"},
    {"catalogue", "chosen", "docstrings", "scaffold"},
    {"equilibrium"},
    {"dense_parameters", "diagnostics", "feedforward", "networks", "sleep"},
    {"update", "foreign", "graphs", "named_parts", "optimizers"},
    {"learner", "streams"},
    {"scenarios"},
    {
        "appending",
        "capabilities",
        "class_sums",
        "dreaming",
        "memory",
        "plugins",
        "rehearsal",
        "rows",
        "served",
        "sharing",
    },
    {"resting", "seeding", "shifting"},
    {"fitting", "strategy", "watching"},
    {"strategies", "registry"},
    {"bridge"},
    {"evaluation", "separability"},
    {"measuring"},
    {"checkpoints"},
    {"training"},
    {"population"},
    {"tracking"},
    {"build"},
    {"report", "results"},
    {"recording", "run_names", "search", "testing", "unfinished", "workers", "on_ray"},
    {"comparison", "bench", "portrait"},
    {"claims"},
    {"pipelines"},
    {"api", "commands"},
    {"cli"},
    {"__main__"},
    {"clep"},
]
"""The rooms, ground floor first: a room may know those on its own floor and below. `clep` is the package itself."""


@cache
def sources() -> dict[str, Path]:
    """Module -> its file."""
    found = {}
    for room, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            found[".".join([room, *path.relative_to(folder).with_suffix("").parts]).removesuffix(".__init__")] = path
    return found


def statements(tree: ast.AST, *, lazy: bool) -> Iterator[ast.AST]:
    """Every import statement; without those for type checkers, and without those in functions unless `lazy`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (inner for part in node.orelse for inner in statements(ast.Module([part], []), lazy=lazy))
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(node, lazy=lazy)


@cache
def imports(*, lazy: bool = True) -> list[tuple[str, str]]:
    """(module, imported module or name) of every import statement; see `statements`."""
    pairs = []
    for module, path in sources().items():
        for node in statements(ast.parse(path.read_text()), lazy=lazy):
            if isinstance(node, ast.Import):
                pairs += [(module, alias.name) for alias in node.names]
            else:
                pairs.append((module, node.module))
                pairs += [(module, f"{node.module}.{alias.name}") for alias in node.names]
    return pairs


def modules_imported(*, lazy: bool) -> dict[str, set[str]]:
    """Module -> the modules of clep that it imports; a package stands for the part of it that is asked for."""
    graph: dict[str, set[str]] = {module: set() for module in sources()}
    for module, name in imports(lazy=lazy):
        if name in graph:
            graph[module].add(name)
    for module, known in graph.items():  # `from clep.specs import x`, x a module, needs x and what the package runs
        graph[module] = {name for name in known if name not in ("clep", module)}
    return graph


def importers(*prefixes: str) -> set[str]:
    return {m for m, name in imports() if any(name == p or name.startswith(f"{p}.") for p in prefixes)}


# ---------------------------------------------------------------- circles and floors


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle of a graph, from a node back to it; [] if there is none."""
    done: set[str] = set()

    def search(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for neighbour in sorted(graph[node]):
            if found := search(neighbour, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := search(node, []))), [])


def with_packages(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same, where importing a module runs the packages around it first, except those that it lies in itself."""
    wider = {}
    for module, known in graph.items():
        around = {".".join(name.split(".")[:n]) for name in known for n in range(2, name.count(".") + 1)}
        wider[module] = known | {p for p in around if p in graph and not f"{module}.".startswith(f"{p}.")}
    return wider


def test_the_walk_finds_a_circle_where_there_is_one():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"a"}}) == ["a", "a"]
    packages = {"clep.a": {"clep.a.x"}, "clep.a.x": {"clep.a.y"}, "clep.a.y": set(), "clep.b": {"clep.a.y"}}
    assert with_packages(packages) == packages | {"clep.b": {"clep.a", "clep.a.y"}}


def test_the_walk_sees_every_kind_of_import():
    code = "import a\nif TYPE_CHECKING:\n    import b\nelse:\n    import c\ndef f():\n    import d\n"
    code += "try:\n    import e\nexcept X:\n    pass"
    names = {lazy: {n.names[0].name for n in statements(ast.parse(code), lazy=lazy)} for lazy in (False, True)}
    assert names == {False: {"a", "c", "e"}, True: {"a", "c", "d", "e"}}
    assert len(imports()) > 300


def test_no_modules_import_each_other_in_a_circle():
    """A circle works until somebody imports its modules in another order."""
    assert circle(with_packages(modules_imported(lazy=False))) == []


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def floor_of(module: str) -> int:
    return next(floor for floor, rooms in enumerate(ORDER) if room_of(module) in rooms)


def test_every_module_has_a_floor_and_no_room_has_two():
    known = [room for rooms in ORDER for room in rooms]
    assert len(known) == len(set(known))
    assert {room_of(module) for module in sources()} <= set(known)


def test_no_room_imports_from_a_higher_one():
    """Imports within functions count: they are how a lower room would reach up unseen."""
    pairs = {(module, known) for module, all_known in modules_imported(lazy=True).items() for known in all_known}
    upwards = {(module, known) for module, known in pairs if floor_of(known) > floor_of(module)}
    assert len(pairs) > 100
    assert upwards == set()


# ---------------------------------------------------------------- who may know whom


def test_only_tracking_knows_mlflow():
    assert importers("mlflow") == {"clep.tracking.store", "clep.tracking.system"}


def test_specs_know_neither_torch_nor_files():
    room = {m for m in sources() if m.startswith("clep.specs")}
    assert len(room) >= 8
    heavy = ("torch", "numpy", "yaml", "omegaconf", "pathlib", "importlib", "avalanche", "pytorch_lightning")
    assert not room & importers(*heavy)
    own = {name for m, name in imports() if m in room and name.startswith("clep.")}
    assert all(
        name.startswith(("clep.specs", "clep.errors", "clep.checks", "clep.parts", "clep.parameters")) for name in own
    )


def test_the_equilibrium_room_knows_torch_specs_and_the_ground_floor_alone():
    room = {m for m, _ in imports() if m.startswith("clep.equilibrium")}
    assert len(room) >= 8
    assert not room & importers("pytorch_lightning", "avalanche", "omegaconf", "yaml", "mlflow")
    own = {name for m, name in imports() if m in room and name.startswith("clep.")}
    allowed = ("compiling", "equilibrium", "specs", "errors", "checks", "parts", "parameters", "renames")
    assert all(name.startswith(tuple(f"clep.{name}" for name in allowed)) for name in own)


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


# ---------------------------------------------------------------- cheap imports


def test_every_public_name_is_there():
    assert all(getattr(clep, name) is not None for name in clep.__all__)
    assert set(clep.__all__) == {*clep._HOMES, "__version__"}


HEAVY = "torch", "numpy", "avalanche", "mlflow", "matplotlib", "pytorch_lightning", "optuna", "sklearn"
LIGHT = {
    "import clep": "import clep",
    "import the configuration": "import clep.config",
    "import the specs": "import clep.specs.refusals",
    "clep --help": "from clep.cli import main; main(['--help'])",
    "clep run --help": "from clep.cli import main; main(['run', '--help'])",
    "clep list": "from clep.cli import main; main(['list'])",
    "clep show": "from clep.cli import main; main(['show'])",
}


@pytest.mark.parametrize("what", LIGHT)
def test_what_trains_nothing_imports_nothing_heavy(what):
    code = f"import sys\n{LIGHT[what]}\nprint('imported', *(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported"
