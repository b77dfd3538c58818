"""Objects by import path: found, or refused with what could not be imported and why."""

import subprocess
import sys

import pytest

from clep.errors import ConfigError
from clep.imports import import_path, is_import_path


@pytest.mark.parametrize("path", ["collections:OrderedDict", "collections.OrderedDict", "os.path:join"])
def test_a_path_names_an_object_of_a_module(path):
    module, _, name = path.replace(":", ".").rpartition(".")
    assert import_path(path, "neuron") is getattr(__import__(module, fromlist=[name]), name)


@pytest.mark.parametrize(("name", "expected"), [("a:B", True), ("a.b", True), ("sleep_replay", False)])
def test_a_path_is_told_from_a_registered_name(name, expected):
    assert is_import_path(name) is expected


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_module:Mine", "ModuleNotFoundError: No module named 'no_such_module'. A module must be installed, "),
        ("collections:OrderedDit", "`collections` has no `OrderedDit`; did you mean `OrderedDict`?"),
        ("collections:Qqqq", "`collections` has no `Qqqq`"),
        (":Mine", "expected `module:Name`"),
        ("clep.", "expected `module:Name`"),
        ("..a", "expected `module:Name`"),
    ],
)
def test_what_cannot_be_imported_is_said_with_the_reason(path, reason):
    with pytest.raises(ConfigError) as caught:
        import_path(path, "network.neuron")
    assert str(caught.value).startswith(f"network.neuron: cannot import `{path}`: {reason}")


@pytest.mark.parametrize(("body", "reason"), [("1 / 0", "ZeroDivisionError: division by zero"), ("(", "SyntaxError: ")])
def test_a_module_that_fails_is_named_with_its_own_error(body, reason, tmp_path, monkeypatch):
    """A bare traceback of somebody's module would not say which key of the configuration asked for it."""
    (tmp_path / "failing_module.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=f"^cost: cannot import `failing_module:X`: {reason}"):
        import_path("failing_module:X", "cost")


def test_it_imports_nothing_heavy_by_itself():
    code = "import sys, clep.imports; print([m for m in ('torch', 'avalanche', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
