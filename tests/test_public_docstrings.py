"""Every public name says what it takes, of what shape, what it raises, and shows itself in an example that runs."""

import ast
import importlib
import inspect
import re
import textwrap

import pytest

from clep import errors
from clep.specs.options import Spec, taken_by

MODULES = ["clep", "clep.equilibrium", "clep.strategy", "clep.metrics", "clep.streams"]
_SECTION = r"^(?:Args|Attributes|Returns|Yields|Raises|Example|References?|Options[^:\n]*):"
_SHAPE = re.compile(r"\([A-Za-z0-9_+*. ,\[\]-]*\)")  # (B, K), (n,), ()
_ERRORS = {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, errors.ClepError)}


def public_names():
    """Path -> class or function; constants, modules and what another library made are left out."""
    found = {}
    for module in map(importlib.import_module, MODULES):
        own = [name for name, what in vars(module).items() if getattr(what, "__module__", "") == module.__name__]
        for name in getattr(module, "__all__", [name for name in own if not name.startswith("_")]):
            what = getattr(module, name)
            is_kept = inspect.isclass(what) and not getattr(what, "_is_protocol", False)
            if (is_kept or inspect.isfunction(what)) and what.__module__.startswith("clep"):
                found[f"{what.__module__}.{what.__qualname__}"] = what
    return found


PUBLIC = public_names()
METHODS = {
    f"{path}.{name}": method
    for path, what in PUBLIC.items()
    if inspect.isclass(what)
    for name, method in vars(what).items()
    if inspect.isfunction(method) and not name.startswith("_")
    if not any(name in vars(base) for base in what.__mro__[1:])  # which says what it takes
}


def section(doc, name):
    """The text of a section of a docstring; empty without it."""
    found = re.search(rf"^{name}:[^\n]*\n(.*?)(?={_SECTION}|\Z)", doc, flags=re.DOTALL | re.MULTILINE)
    return found.group(1) if found else ""


def described(doc):
    """Name -> what a docstring says of it, under Args and Attributes, or as options of a spec."""
    text = "\n".join(section(doc, name) for name in ("Args", "Attributes", r"Options[^:\n]*"))
    entries = re.findall(r"^    ([\w*, ]+):((?:.*\n?)(?:^        .*\n?)*)", text, flags=re.MULTILINE)
    return {name.strip(" *"): words for names, words in entries for name in names.split(",")}


def parameters(what):
    if inspect.isclass(what) and issubclass(what, Spec):
        return {}  # each option has its meaning where it is declared
    signature = inspect.signature(what)
    return {n: p for n, p in signature.parameters.items() if n not in ("self", "cls", "kwargs", "strategy")}


def raised(what):
    """The errors of clep that a function raises itself; of a class, its constructor."""
    functions = [what]
    if inspect.isclass(what):
        functions = [vars(what)[name] for name in ("__init__", "__post_init__") if name in vars(what)]
    for function in functions:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, TypeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                name = ast.unparse(node.exc.func).rpartition(".")[2]
                if name in _ERRORS:
                    yield name


def complaints(what):
    doc = inspect.cleandoc(vars(what).get("__doc__") or "" if inspect.isclass(what) else what.__doc__ or "")
    told, given = described(doc), parameters(what)
    options = set(taken_by(what).names()) if taken_by(what) else set()
    for name, parameter in given.items():
        hint = str(parameter.annotation)
        words = told.get(name, "") + "".join(re.findall(rf"`{name}`[^`]*", doc))
        if not words and name not in options:
            yield f"`{name}` is not described"
        elif "Tensor" in hint and "Callable" not in hint and not _SHAPE.search(words):
            yield f"`{name}` has no shape"
    returned = "" if inspect.isclass(what) else str(inspect.signature(what).return_annotation)
    if re.fullmatch(r".*\bTensor\b.*", returned) and "Callable" not in returned and not _SHAPE.search(doc):
        yield "what it returns has no shape"
    for name in set(raised(what)):
        if name not in section(doc, "Raises"):
            yield f"{name} is not among what it raises"


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_name_says_what_it_takes_and_raises_and_has_an_example(path):
    what = PUBLIC[path]
    found = list(complaints(what))
    found += [] if ">>>" in (what.__doc__ or "") else ["it has no example"]
    assert found == []


@pytest.mark.parametrize("path", METHODS)
def test_a_public_method_says_what_it_takes_and_raises(path):
    assert list(complaints(METHODS[path])) == []
