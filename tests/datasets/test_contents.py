"""The contents of data sets as digests: what a sample is counts, where and how it is stored does not."""

import gzip
import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from clep import datasets
from clep.datasets import contents, loading

X, Y = np.arange(64, dtype=np.uint8).reshape(8, 8), np.array([0, 1] * 4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own, which trusts files that have just been written."""
    monkeypatch.delenv("CLEP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(contents, "_SETTLED", -60.0)
    return tmp_path / "user" / "clep" / "digests.json"


@pytest.fixture
def reads(monkeypatch):
    """Counts how often the samples of a data set are read."""
    counted = []
    read = loading._read
    monkeypatch.setattr(loading, "_read", lambda *arguments: counted.append(1) or read(*arguments))
    return counted


def save(path, x=X, y=Y, x_test=X, y_test=Y, how=np.savez):
    how(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return datasets.digests("npz", path=path)


def test_values_types_labels_and_order_count_for_each_part_alone(tmp_path):
    whole = save(tmp_path / "a.npz")
    assert whole[0] == whole[1]
    others = [
        save(tmp_path / "a.npz", x=X[::-1], y=Y[::-1]),
        save(tmp_path / "a.npz", y=1 - Y),
        save(tmp_path / "a.npz", x=X.astype(np.float64)),
        save(tmp_path / "a.npz", x=X[:6], y=Y[:6]),
        save(tmp_path / "a.npz", x=X.reshape(8, 2, 4)),
    ]
    assert len({whole[0], *(train for train, _ in others)}) == 6
    assert {test for _, test in others} == {whole[1]}
    assert save(tmp_path / "a.npz", y_test=1 - Y)[0] == whole[0] != save(tmp_path / "a.npz", y_test=1 - Y)[1]


def test_name_place_compression_and_order_in_memory_do_not_count(tmp_path):
    whole = save(tmp_path / "a.npz")
    assert save(tmp_path / "b.npz", how=np.savez_compressed) == whole
    assert save(tmp_path / "c.npz", x=np.asfortranarray(X)) == whole
    assert datasets.load("npz", path=tmp_path / "b.npz", scale=2.0).digests == whole


def test_samples_are_read_again_only_after_a_change(tmp_path, reads):
    path = tmp_path / "a.npz"
    first = save(path)
    assert datasets.digests("npz", path=path) == first
    assert len(reads) == 1
    assert save(path, y=1 - Y) != first
    assert len(reads) == 2


def test_a_file_with_the_old_size_and_time_of_change_is_still_another(tmp_path, reads):
    """As after `cp -p` or a checkout that keeps times."""
    path = tmp_path / "a.npz"
    first, before = save(path), path.stat()
    np.savez(path, x_train=X, y_train=1 - Y, x_test=X, y_test=Y)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert datasets.digests("npz", path=path) != first


def test_a_file_written_a_moment_ago_is_not_remembered(tmp_path, reads, monkeypatch, cache):
    """It can be written once more within the resolution of its times."""
    monkeypatch.setattr(contents, "_SETTLED", 60.0)
    save(tmp_path / "a.npz")
    assert datasets.digests("npz", path=tmp_path / "a.npz")
    assert len(reads) == 2
    assert not cache.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"npz /a": 3}', '{"npz PATH": ["x"]}', '{"npz PATH": [1, 2, 3]}'])
def test_a_damaged_cache_does_no_harm(tmp_path, cache, text):
    first = save(tmp_path / "a.npz")
    cache.write_text(text.replace("PATH", str(tmp_path / "a.npz")))
    assert datasets.digests("npz", path=tmp_path / "a.npz") == first
    assert json.loads(cache.read_text())[f"npz {tmp_path / 'a.npz'}"][1:] == list(first)


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, cache):
    cache.parent.parent.write_text("a file where the folder should be")
    assert save(tmp_path / "a.npz") == save(tmp_path / "a.npz")


def test_the_cache_keeps_only_the_latest(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(contents, "_REMEMBERED", 2)
    for name in ("a", "b", "c"):
        save(tmp_path / f"{name}.npz")
    assert list(json.loads(cache.read_text())) == [f"npz {tmp_path / name}.npz" for name in ("b", "c")]
    assert {path.name for path in cache.parent.iterdir()} == {"digests.json"}


def test_packed_files_hold_the_same_data(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        images = bytes([0, 0, 8, 3, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 4]) + X.tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 8, *Y]))
    plain = datasets.digests("mnist", root=tmp_path)
    for path in list(raw.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert datasets.digests("mnist", root=tmp_path) == plain


def test_images_count_with_the_names_of_their_classes_and_a_zip_as_its_folder(tmp_path):
    for part in ("train", "test"):
        for name, level in (("ant", 20), ("bee", 200)):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            Image.new("L", (3, 2), level).save(tmp_path / "images" / part / name / "0.png")
    whole = datasets.digests("folder", path=tmp_path / "images")
    zips = tmp_path / "zips"
    zips.mkdir()
    for part in ("train", "test"):
        with zipfile.ZipFile(zips / f"{part}.zip", "w") as packed:
            for path in (tmp_path / "images" / part).rglob("*.png"):
                packed.write(path, path.relative_to(tmp_path / "images" / part))
    assert datasets.digests("folder", path=zips) == whole
    for part in ("train", "test"):
        (tmp_path / "images" / part / "bee").rename(tmp_path / "images" / part / "wasp")
    renamed = datasets.digests("folder", path=tmp_path / "images")
    assert renamed[0] != whole[0]
    Image.new("L", (3, 2), 199).save(tmp_path / "images" / "test" / "wasp" / "0.png")
    changed = datasets.digests("folder", path=tmp_path / "images")
    assert (changed[0], changed[1] != renamed[1]) == (renamed[0], True)


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "again").symlink_to(tmp_path)
    assert contents.signature(tmp_path) == ""  # no file
