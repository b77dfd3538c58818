"""The table of data sets: every row has a loader and a configuration, and a wrong name or path is refused."""

import subprocess
import sys

import pytest

from clep import parts
from clep.datasets import DATASETS, load, names
from clep.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "meant"), [("minst", "mnist"), ("Fashion-MNIST", "fashion_mnist"), ("digit", "digits")]
)
def test_a_mistyped_name_is_answered_with_the_nearest_and_all_valid_ones(typed, meant):
    with pytest.raises(ConfigError) as error:
        load(typed)
    assert str(error.value) == (
        f"name: unknown data set `{typed}`; did you mean `{meant}`? "
        "Valid data sets: cifar10, digits, fashion_mnist, folder, kmnist, mnist, npz. Name your own data set by its "
        "import path, `my_module:MyPart`."
    )


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(ConfigError, match=r"unknown data set `xyz`\. Valid data sets: cifar10,"):
        load("xyz")


def test_the_table_and_the_registered_names_are_the_same():
    own = {name for name, entry in parts.registered("dataset").items() if parts.is_own(entry)}
    assert own == set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_says_in_one_line_what_it_is(name):
    loader = parts.find("dataset", name)
    assert loader.__name__ == name
    assert len(loader.__doc__.partition("\n")[0]) > 10


@pytest.mark.parametrize(("name", "example"), [("npz", "FILE.npz"), ("folder", "FOLDER")])
@pytest.mark.parametrize("path", [None, ""])
def test_a_missing_path_is_asked_for(name, example, path):
    with pytest.raises(ConfigError, match=rf"^path: expected the f\w+ with .* got null; for example {example}$"):
        names.check(name, path)
    names.check(name, example)


def test_a_path_is_refused_where_it_would_be_ignored(tmp_path):
    with pytest.raises(ConfigError, match=rf"^path: only `npz` and `folder` take a path, got `{tmp_path}` with `digi"):
        load("digits", path=tmp_path)


def test_names_need_no_torch():
    """A configuration is checked with them, and a typo should be answered at once."""
    code = "import sys, clep.datasets.names as names; names.check('digits'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
