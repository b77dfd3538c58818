"""Test the wheel with the oldest and the newest versions of what clep is built on that the registry has.

    python scripts/matrix.py [CASE ...]

A case is one of these libraries in one version, `mlflow-oldest`, over the packages of the environment that runs this.
It gets an environment of its own in build/matrix, so that only what the version asks for is installed anew. The tests
there are those that touch Lightning, MLflow and torch most, and use the wheel, not the checkout.
"""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "matrix"
LIBRARIES = {"lightning": ["pytorch-lightning"], "mlflow": ["mlflow"], "torch": ["torch", "torchvision"]}
"""Name of a case -> what is installed together; the version is that of the first."""
WITH_OLDEST = {"mlflow": ["sqlalchemy<2.1"]}
"""What the oldest version needs and does not ask for: MLflow 3.1 imports a pool that SQLAlchemy 2.1 has not."""
TESTS = (
    "tests/learner",
    "tests/test_bridge.py",
    "tests/test_training.py",
    "tests/equilibrium/gradients/test_base.py",
    "tests/equilibrium/test_network.py",
    "tests/checkpoints",
    "tests/tracking/test_run.py",
    "tests/tracking/test_store.py",
    "tests/tracking/test_model.py",
    "tests/tracking/test_views.py",
    "tests/pipelines/test_class_incremental.py",
    "tests/pipelines/test_compare.py",
)


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: its name.
        versions: of the libraries in it.
        result: the last line of pytest, or why there is none.
        passed: whether every test passed.
    """

    case: str
    versions: str
    result: str
    passed: bool


def cases(project: str) -> dict[str, list[str]]:
    r"""Case -> what `pip install --upgrade` takes, from the dependencies of a pyproject.toml.

    Example:
        >>> given = '"mlflow>=3.1", "pytorch-lightning>=2.5,<3", "torch>=2.7"'
        >>> cases(f"[project]\ndependencies = [{given}]")["lightning-oldest"]
        ['pytorch-lightning==2.5']
    """
    given = tomllib.loads(project)["project"]["dependencies"]
    ranges = {re.split(r"[<>=]", text)[0]: text for text in given}
    found = {}
    for name, (first, *others) in LIBRARIES.items():
        lowest = re.search(r">=([\d.]+)", ranges[first])
        if lowest is None:
            raise ValueError(f"pyproject.toml: `{first}` has no lower bound")
        found[f"{name}-oldest"] = [f"{first}=={lowest[1]}", *others, *WITH_OLDEST.get(name, [])]
        found[f"{name}-newest"] = [ranges[first], *others]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases and print a table, a row for each."""
    known = cases((ROOT / "pyproject.toml").read_text())
    chosen = list(sys.argv[1:] if argv is None else argv) or list(known)
    if unknown := [name for name in chosen if name not in known]:
        print(f"unknown case {unknown[0]}; cases: {', '.join(known)}", file=sys.stderr)
        return 2
    wheel = built_wheel()
    outcomes = []
    for name in chosen:
        outcomes.append(outcome := tested(name, known[name], wheel))
        print(f"{outcome.case:18} {outcome.versions:60} {outcome.result}", flush=True)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def built_wheel() -> Path:
    """The wheel of the checkout."""
    shutil.rmtree(FOLDER / "dist", ignore_errors=True)
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(FOLDER / "dist"), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    for left in ROOT.glob("*.egg-info"):  # from here, Python would take it for what is installed
        shutil.rmtree(left)
    (wheel,) = (FOLDER / "dist").glob("*.whl")
    return wheel


def tested(case: str, requirements: Sequence[str], wheel: Path) -> Outcome:
    """Make the environment of a case and run the tests in it; what they print is in `log.txt` there."""
    folder = FOLDER / case
    shutil.rmtree(folder, ignore_errors=True)
    python = environment(folder)
    with (folder / "log.txt").open("w") as log:
        for words in (["--upgrade", *requirements], ["--no-deps", str(wheel)]):
            pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *words]
            if subprocess.run(pip, stdout=log, stderr=log, check=False).returncode:
                return Outcome(case, "", f"cannot be installed, see {log.name}", False)
        for name in ("tests", "scripts", "pyproject.toml"):  # in the checkout they would find its source first
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
        done = subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=False)
    *_, last = (folder / "log.txt").read_text().strip().splitlines()
    return Outcome(case, ", ".join(versions(python)), last, done.returncode == 0)


def environment(folder: Path) -> Path:
    """An environment over the packages of this one, whose Python is returned. What is installed in it comes first."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    others = [path for path in sys.path if path.endswith("site-packages") and path not in paths]
    (site / "below.pth").write_text("".join(f"{path}\n" for path in [*sorted(paths), *others]))
    return folder / "bin" / "python"


def versions(python: Path) -> Iterator[str]:
    """Name and version of each library in an environment."""
    names = [first for first, *_ in LIBRARIES.values()]
    code = f"import json; from importlib import metadata; print(json.dumps([metadata.version(n) for n in {names}]))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    for name, version in zip(names, json.loads(done.stdout), strict=True):
        yield f"{name} {version}"


if __name__ == "__main__":
    sys.exit(main())
