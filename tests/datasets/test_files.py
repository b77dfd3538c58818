"""Files that are missing: what a download does, and what is said without one."""

import re
import sys
from pathlib import Path

import pytest
import torchvision

from clep.datasets import default_root, load
from clep.datasets.files import reason
from clep.errors import DataError
from tests.datasets.writers import TEST_LABELS, write_idx


def test_a_failed_download_says_why_and_how_to_go_on_without(tmp_path):
    with pytest.raises(DataError) as error:
        load("mnist", root=tmp_path)
    assert str(error.value) == (
        f"MNIST is not in the data folder {tmp_path}, and the download failed (<urlopen error network is "
        f"unreachable>). Put these 4 files into {tmp_path / 'MNIST' / 'raw'}, `.gz` is fine: "
        "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte. "
        "Or use `digits`, which needs no download."
    )


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "cifar10"])
def test_without_download_nothing_is_fetched_or_created(tmp_path, name):
    with pytest.raises(DataError, match=r"and downloads are switched off\. Put these \d files"):
        load(name, root=tmp_path / "absent", download=False)
    assert not (tmp_path / "absent").exists()


def test_the_one_missing_file_is_named(tmp_path):
    raw = write_idx(tmp_path)
    (raw / TEST_LABELS).unlink()
    with pytest.raises(DataError, match=rf"MNIST is incomplete \(no {TEST_LABELS}\) in the data folder"):
        load("mnist", root=tmp_path)


def test_the_download_puts_the_files_under_root(tmp_path, monkeypatch):
    def download(root, train, download):
        assert download
        write_idx(Path(root), "KMNIST", compress=True)

    monkeypatch.setattr(torchvision.datasets, "KMNIST", download)
    assert load("kmnist", root=tmp_path / "new").classes == 3


def test_a_download_that_leaves_nothing_is_an_error(tmp_path, monkeypatch):
    """torchvision is content with the `processed` folder of its old versions and downloads nothing."""
    monkeypatch.setattr(torchvision.datasets, "MNIST", lambda *args, **kwargs: None)
    with pytest.raises(DataError, match="the download did not contain all of it"):
        load("mnist", root=tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME moves the user's cache on Linux")
def test_the_default_root_is_in_the_users_cache_and_only_a_download_creates_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "clep"
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "clep" / "MNIST" / "raw"))):
        load("mnist", download=False)
    assert list(tmp_path.iterdir()) == []


def test_a_reason_is_one_line_that_can_be_read():
    assert reason(ValueError("one\n two")) == "one two"
    assert reason(ValueError("<object at 0x7f00>")) == reason(ValueError("")) == "ValueError"
    assert len(reason(ValueError("x" * 5000))) == 300
