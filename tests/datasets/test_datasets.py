"""Datasets: every file is written by the test that reads it, except scikit-learn's digits; nothing uses the network."""

import gzip
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from sklearn.datasets import load_digits

from clep.datasets import CIFAR10_FILES, DATASETS, IDX_FILES, default_root, load
from clep.errors import ConfigError, DataError

IMAGES = {
    part: np.random.default_rng(n).integers(0, 256, (n, 4, 5), np.uint8) for part, n in (("train", 6), ("t10k", 3))
}
LABELS = {"train": np.array([0, 1, 2, 0, 1, 2], np.uint8), "t10k": np.array([2, 0, 1], np.uint8)}
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = IDX_FILES


def idx(array: np.ndarray) -> bytes:
    """The idx format, from its description: 0, 0, type 8, number of dimensions, big-endian sizes, bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(root: Path, folder: str = "MNIST", compress: bool = False) -> Path:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name in IDX_FILES:
        content = idx((IMAGES if "images" in name else LABELS)[name.split("-")[0]])
        (raw / f"{name}.gz").write_bytes(gzip.compress(content)) if compress else (raw / name).write_bytes(content)
    return raw


def python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """A pickle as Python 2 wrote CIFAR-10's: byte strings for text, integers for dtype's flags, old module names."""
    shape = b"(K\x01M" + struct.pack("<H", data.shape[0]) + b"M" + struct.pack("<H", data.shape[1]) + b"\x86"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb\x89"
    content = b"T" + struct.pack("<i", data.size) + data.tobytes() + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R" + shape + dtype + content
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels](" + numbers + b"eu."


def write_cifar(root: Path) -> Path:
    """Batch b (test: 6) has two images, of labels b and 0; all pixels are b, only one pixel of each plane is marked."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number, name in enumerate(CIFAR10_FILES, start=1):
        data = np.full((2, 3072), number, np.uint8)
        data[0, 2 * 32 + 7] = 255  # the red plane comes first, each plane row by row: row 2, column 7
        data[0, 1024 + 3 * 32 + 1] = 200  # green: row 3, column 1
        data[0, 2048 + 31 * 32 + 30] = 100  # blue: row 31, column 30
        (folder / name).write_bytes(python2_pickle(data, [number, 0]))
    return folder


def write_npz(folder: Path, **changes) -> Path:
    """A file that loads, but for the `changes`; None leaves an array out."""
    arrays = {
        "x_train": np.array([[0.0, 0.5], [1.0, 0.25], [0.5, 0.5], [0.0, 0.0]]),
        "y_train": np.array([0, 1, 2, 0]),
        "x_test": np.array([[0.125, 0.5], [1.0, 1.0]]),
        "y_test": np.array([1, 0]),
    } | changes
    path = folder / "data.npz"
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


def listing(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Everything below a folder, with times and contents; a file made and removed shows in its folder's time."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")}


def same(first, second) -> bool:
    return all(
        torch.equal(getattr(first, key), getattr(second, key)) for key in ("x_train", "y_train", "x_test", "y_test")
    )


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    """No test reaches the network: torchvision's classes fail as they do without one."""

    def fail(*args, **kwargs):
        raise OSError("<urlopen error\nnetwork is unreachable>")

    for name in ("MNIST", "FashionMNIST", "KMNIST", "CIFAR10"):
        monkeypatch.setattr(torchvision.datasets, name, fail)


class TestDigits:
    def test_the_split_is_a_partition_of_the_whole_file(self):
        """An image in both parts would let a model be tested on what it has learnt by heart."""
        dataset = load("digits")
        rows = torch.cat([dataset.x_train, dataset.x_test]).flatten(1).mul(16).int().numpy()
        labelled = np.c_[rows, torch.cat([dataset.y_train, dataset.y_test]).numpy()]
        file = np.c_[load_digits().data.astype(int), load_digits().target]
        assert len(np.unique(file, axis=0)) == len(file) == 1797  # no two images are equal, so rows identify images
        assert sorted(labelled.tolist()) == sorted(file.tolist())

    def test_a_fifth_of_every_class_is_for_testing(self):
        dataset = load("digits")
        assert len(dataset.y_test) == 360
        train, test = dataset.y_train.bincount(), dataset.y_test.bincount()
        assert ((test - 0.2 * (train + test)).abs() < 1).all()

    def test_writers_are_mixed(self):
        """The file is in the order of its writers: its last fifth is other people, where joint training loses 6 %."""
        last = {row.tobytes() for row in (load_digits().data[-360:] / 16).astype(np.float32)}
        in_test = sum(row.numpy().tobytes() in last for row in load("digits").x_test.flatten(1))
        assert 40 < in_test < 110  # 72 of 360 expected

    def test_the_split_does_not_depend_on_global_seeds(self):
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 - the global generator is the point
        first = load("digits")
        torch.manual_seed(2)
        np.random.seed(2)  # noqa: NPY002
        assert same(first, load("digits"))

    def test_images_are_float32_from_0_to_1_with_one_channel(self):
        dataset = load("digits")
        assert dataset.x_train.shape == (1437, 1, 8, 8)
        assert dataset.x_train.dtype == dataset.x_test.dtype == torch.float32
        assert dataset.y_train.dtype == dataset.y_test.dtype == torch.int64
        assert (dataset.x_train.min(), dataset.x_train.max()) == (0, 1)
        assert (dataset.name, dataset.classes) == ("digits", 10)

    def test_nothing_is_looked_for_under_root(self, tmp_path):
        load("digits", root=tmp_path / "absent")
        assert not (tmp_path / "absent").exists()


class TestIdx:
    @pytest.mark.parametrize(
        ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
    )
    def test_images_and_labels_are_those_of_the_files(self, tmp_path, name, folder):
        write_idx(tmp_path, folder)
        dataset = load(name, root=str(tmp_path), download=False)
        assert dataset.x_train.shape == (6, 1, 4, 5)
        assert dataset.x_test.dtype == torch.float32
        assert np.array_equal(dataset.x_train[:, 0], IMAGES["train"] / np.float32(255))
        assert np.array_equal(dataset.x_test[:, 0], IMAGES["t10k"] / np.float32(255))
        assert (dataset.y_train.tolist(), dataset.y_test.tolist()) == (
            LABELS["train"].tolist(),
            LABELS["t10k"].tolist(),
        )
        assert (dataset.name, dataset.classes, dataset.y_train.dtype) == (name, 3, torch.int64)

    @pytest.mark.parametrize("train", [True, False])
    def test_the_reading_is_torchvisions(self, tmp_path, monkeypatch, train):
        """torchvision parses the same files independently: a transposed or shifted image shows."""
        monkeypatch.undo()
        write_idx(tmp_path)
        dataset, oracle = load("mnist", root=tmp_path), torchvision.datasets.MNIST(str(tmp_path), train=train)
        x, y = (dataset.x_train, dataset.y_train) if train else (dataset.x_test, dataset.y_test)
        assert torch.equal(x[:, 0], oracle.data / 255)
        assert torch.equal(y, oracle.targets)

    @pytest.mark.parametrize("compress", [False, True])
    def test_a_read_only_root_is_enough_and_stays_as_it_is(self, tmp_path, compress):
        """The mode binds no superuser, so the listing is compared as well."""
        raw = write_idx(tmp_path / "root", compress=compress)
        before = listing(tmp_path)
        try:
            for folder in (raw, raw.parent, tmp_path / "root"):
                folder.chmod(0o555)
            load("mnist", root=tmp_path / "root")
        finally:
            for folder in (tmp_path / "root", raw.parent, raw):
                folder.chmod(0o755)
        assert listing(tmp_path) == before

    def test_compressed_files_give_equal_tensors(self, tmp_path):
        write_idx(tmp_path / "plain")
        write_idx(tmp_path / "compressed", compress=True)
        assert same(load("mnist", root=tmp_path / "plain"), load("mnist", root=tmp_path / "compressed"))

    def test_a_plain_file_goes_before_its_compressed_form(self, tmp_path):
        raw = write_idx(tmp_path)
        (raw / f"{TRAIN_IMAGES}.gz").write_bytes(b"half a download")
        assert len(load("mnist", root=tmp_path).x_train) == 6

    @pytest.mark.parametrize(
        ("file", "content", "complaint"),
        [
            (f"{TRAIN_IMAGES}.gz", b"<html>not found</html>", "cannot be read .*gzip"),
            (f"{TEST_IMAGES}.gz", gzip.compress(idx(IMAGES["t10k"]))[:-20], "cannot be read"),
            (f"{TEST_IMAGES}.gz", gzip.compress(idx(IMAGES["t10k"]))[:10] + b"\xff" * 60, "cannot be read .*block"),
            (f"{TEST_IMAGES}.gz", gzip.compress(b"")[:-8] + b"?" * 8, "cannot be read .*CRC"),
            (TRAIN_IMAGES, idx(LABELS["train"]), "begin with 00 00 08 03, got 14 that begin with 00 00 08 01"),
            (TRAIN_LABELS, idx(IMAGES["train"]), "begin with 00 00 08 01, got 136 that begin with 00 00 08 03"),
            (TRAIN_LABELS, b"", "expected 8 bytes or more .*, got 0 that begin with nothing"),
            (TEST_IMAGES, idx(IMAGES["t10k"])[:11], "expected 16 bytes or more .*, got 11 "),
            (TEST_IMAGES, idx(IMAGES["t10k"])[:-1], r"59 bytes after the header, which promises \[3, 4, 5\]"),
            (TEST_LABELS, idx(LABELS["t10k"]) + b"\0", r"4 bytes after the header, which promises \[3\]"),
            (TRAIN_LABELS, idx(LABELS["train"][:-1]), f"5 labels, but 6 samples in .*{TRAIN_IMAGES}"),
            (TEST_LABELS, idx(LABELS["train"]), f"6 labels, but 3 samples in .*{TEST_IMAGES}"),
            (TEST_IMAGES, idx(IMAGES["t10k"][:, 1:]), rf"shape \(3, 5\), but \(4, 5\) in .*{TRAIN_IMAGES}"),
            (TRAIN_IMAGES, idx(IMAGES["train"][:0]), "empty"),
        ],
    )
    def test_a_damaged_file_is_named_with_what_is_wrong_and_what_to_do(self, tmp_path, file, content, complaint):
        raw = write_idx(tmp_path, compress=file.endswith(".gz"))
        (raw / file).write_bytes(content)
        with pytest.raises(DataError, match=complaint) as error:
            load("mnist", root=tmp_path, download=False)
        assert str(error.value).startswith(f"{raw / file}: ")
        assert re.search("Delete .* and download .* again", str(error.value))


class TestMissingFiles:
    def test_a_failed_download_says_why_and_how_to_go_on_without(self, tmp_path):
        with pytest.raises(DataError) as error:
            load("mnist", root=tmp_path)
        assert str(error.value) == (
            f"MNIST is not under `data.root` ({tmp_path}) and the download failed (<urlopen error network is "
            f"unreachable>). Put these 4 files in {tmp_path / 'MNIST' / 'raw'}, `.gz` is fine: "
            "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte. "
            "Or use `stream=digits`, which needs no download."
        )

    @pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "cifar10"])
    def test_without_download_nothing_is_fetched_or_created(self, tmp_path, name):
        with pytest.raises(DataError, match=r"and `data\.download` is false\. Put these \d files"):
            load(name, root=tmp_path / "absent", download=False)
        assert not (tmp_path / "absent").exists()

    def test_the_one_missing_file_is_named(self, tmp_path):
        raw = write_idx(tmp_path)
        (raw / TEST_LABELS).unlink()
        with pytest.raises(DataError, match=rf"MNIST is incomplete \(no {TEST_LABELS}\) under"):
            load("mnist", root=tmp_path)

    def test_the_download_puts_the_files_under_root(self, tmp_path, monkeypatch):
        def download(root, train, download):
            assert download
            write_idx(Path(root), "KMNIST", compress=True)

        monkeypatch.setattr(torchvision.datasets, "KMNIST", download)
        assert load("kmnist", root=tmp_path / "new").classes == 3

    def test_a_download_that_leaves_nothing_is_an_error(self, tmp_path, monkeypatch):
        """torchvision is content with the `processed` folder of its old versions and downloads nothing."""
        monkeypatch.setattr(torchvision.datasets, "MNIST", lambda *args, **kwargs: None)
        with pytest.raises(DataError, match="the download left them out"):
            load("mnist", root=tmp_path)

    @pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME moves the user's cache on Linux")
    def test_the_default_root_is_in_the_users_cache_and_only_a_download_creates_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert default_root() == tmp_path / "clep"
        with pytest.raises(DataError, match=re.escape(str(tmp_path / "clep" / "MNIST" / "raw"))):
            load("mnist", download=False)
        assert list(tmp_path.iterdir()) == []


class TestCifar10:
    def test_planes_rows_and_columns_are_where_the_format_puts_them(self, tmp_path):
        """Channels read last would still give (N, 3, 32, 32) after a reshape, of scrambled pictures."""
        write_cifar(tmp_path)
        dataset = load("cifar10", root=tmp_path, download=False)
        assert dataset.x_train.shape == (10, 3, 32, 32)
        assert dataset.x_test.shape == (2, 3, 32, 32)
        first = torch.full((3, 32, 32), 1.0)
        first[0, 2, 7], first[1, 3, 1], first[2, 31, 30] = 255, 200, 100
        assert torch.equal(dataset.x_train[0], first / 255)

    def test_batches_keep_their_order_and_labels(self, tmp_path):
        write_cifar(tmp_path)
        dataset = load("cifar10", root=tmp_path, download=False)
        assert dataset.y_train.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
        assert dataset.y_test.tolist() == [6, 0]
        assert dataset.x_train[:, 0, 0, 0].mul(255).round().tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
        assert dataset.x_test[:, 0, 0, 0].mul(255).round().tolist() == [6, 6]

    def test_old_pickles_load_without_a_warning(self, tmp_path, recwarn):
        """NumPy 2.4.0 to 2.4.4 warn about the integers that Python 2's pickles pass to dtype."""
        write_cifar(tmp_path)
        load("cifar10", root=tmp_path, download=False)
        assert [str(warning.message) for warning in recwarn] == []

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"", "not a CIFAR-10 batch"),
            (python2_pickle(np.zeros((2, 3072), np.uint8), [0, 1])[:3000], "not a CIFAR-10 batch"),
            (b"\x80\x02}.", "not a CIFAR-10 batch .*data"),
            (
                python2_pickle(np.zeros((2, 3071), np.uint8), [0, 1]),
                r"\(N, 3072\) .* got uint8 data of shape \(2, 3071\)",
            ),
            (python2_pickle(np.zeros((2, 3072), np.uint8), [0]), r"N labels, got .* and \(1,\) labels"),
        ],
    )
    def test_a_damaged_batch_is_named(self, tmp_path, content, complaint):
        file = write_cifar(tmp_path) / "data_batch_3"
        file.write_bytes(content)
        with pytest.raises(DataError, match=complaint) as error:
            load("cifar10", root=tmp_path, download=False)
        assert str(error.value).startswith(f"{file}: ")
        assert str(error.value).endswith("Delete it and download it again.")

    def test_a_failed_download_lists_the_six_batches(self, tmp_path):
        with pytest.raises(DataError, match=r"CIFAR10 is not under .* the download failed") as error:
            load("cifar10", root=tmp_path)
        assert f"these 6 files in {tmp_path / 'cifar-10-batches-py'}" in str(error.value)
        assert ", ".join(CIFAR10_FILES) in str(error.value)


class TestNpz:
    def test_float_vectors_are_kept_as_stored(self, tmp_path):
        dataset = load("npz", path=str(write_npz(tmp_path, x_test=np.array([[-3.0, 0.5], [1.0, 1e4]]))))
        assert dataset.x_train.tolist() == [[0.0, 0.5], [1.0, 0.25], [0.5, 0.5], [0.0, 0.0]]
        assert dataset.x_test.tolist() == [[-3.0, 0.5], [1.0, 1e4]]
        assert dataset.x_train.dtype == torch.float32
        assert (dataset.y_train.tolist(), dataset.y_test.tolist()) == ([0, 1, 2, 0], [1, 0])
        assert (dataset.y_train.dtype, dataset.classes, dataset.name) == (torch.int64, 3, "npz")

    @pytest.mark.parametrize(("type_", "top"), [(np.uint8, 2**8 - 1), (np.uint16, 2**16 - 1), (np.uint64, 2**64 - 1)])
    def test_unsigned_integers_are_scaled_by_the_range_of_their_type(self, tmp_path, type_, top):
        """Not by the largest value found: that would depend on the data, classes to come included."""
        x_train, x_test = np.full((4, 2, 3, 3), top // 5, type_), np.zeros((2, 2, 3, 3), type_)
        dataset = load("npz", path=write_npz(tmp_path, x_train=x_train, x_test=x_test))
        assert dataset.x_train.shape == (4, 2, 3, 3)
        assert torch.allclose(dataset.x_train, torch.tensor(0.2), atol=1e-6)
        assert dataset.x_test.abs().max() == 0

    @pytest.mark.parametrize(("type_", "top"), [(np.uint8, 255), (np.float64, 1), (np.dtype(">f4"), 1)])
    def test_images_without_a_channel_get_one(self, tmp_path, type_, top):
        x = np.random.default_rng(0).integers(0, 2, (4, 3, 5)).astype(type_)
        dataset = load("npz", path=write_npz(tmp_path, x_train=x, x_test=x[:2]))
        assert dataset.x_train.shape == (4, 1, 3, 5)
        assert np.array_equal(dataset.x_train[:, 0], np.where(x, np.float32(1) / np.float32(top), np.float32(0)))

    def test_a_path_is_asked_for_by_its_key(self):
        with pytest.raises(ConfigError, match=r"^stream\.path: `npz` needs the path of a file with x_train, y_train"):
            load("npz")

    def test_a_path_is_refused_where_it_would_be_ignored(self, tmp_path):
        with pytest.raises(ConfigError, match=r"^stream\.path: only `npz` and `folder` take a path"):
            load("digits", path=write_npz(tmp_path))

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"y_test": None, "x_test": None}, "no `x_test`, `y_test`; add it. The file has: x_train, y_train"),
            ({"x_train": np.zeros(4)}, r"`x_train` must be .*, got float64 of shape \(4,\)"),
            ({"x_train": np.zeros((4, 1, 2, 2, 2))}, r"`x_train` must be .* of shape \(4, 1, 2, 2, 2\)"),
            ({"x_test": np.zeros((2, 2), int)}, "`x_test` must be unsigned integers or floats .*, got int64"),
            ({"x_test": np.zeros((2, 2), complex)}, "`x_test` must be .*, got complex128"),
            ({"x_test": np.array([["a", "b"]] * 2)}, "`x_test` must be .*, got <U1"),
            ({"x_train": np.array([[0.0, np.nan]] * 4)}, "`x_train` has 4 values that are NaN or infinite"),
            ({"x_test": np.array([[0.0, -np.inf], [0.0, 0.0]])}, "`x_test` has 1 values that are NaN or infinite"),
            ({"x_test": np.array([[0.0, 1e39], [0.0, 0.0]])}, "`x_test` has 1 values .* infinite in float32"),
            ({"x_test": np.zeros((2, 3))}, r"`x_test`: samples of shape \(3,\), but \(2,\) in .*`x_train`"),
            ({"x_test": np.zeros((2, 2), np.uint8)}, "`x_train` and `x_test` are float64 and uint8"),
            ({"x_train": np.zeros((0, 2))}, "`x_train`: empty"),
            ({"x_train": np.zeros((3, 2))}, "`y_train`: 4 labels, but 3 samples in .*`x_train`"),
            ({"y_test": np.array([0, 1, 1])}, "`y_test`: 3 labels, but 2 samples in .*`x_test`"),
            ({"y_train": np.array([0.0, 1.0, 2.0, 0.0])}, "`y_train` must be integers .*, got float64"),
            ({"y_train": np.eye(4, dtype=int)}, r"`y_train` must be .*, got int64 of shape \(4, 4\)"),
            ({"y_test": np.array([0, -1])}, "`y_test` has the negative label -1"),
            ({"y_train": np.array([1, 2, 3, 1])}, "`y_train` has no sample of class 0, but labels go up to 3"),
            ({"y_train": np.array([0, 1, 3, 1])}, "`y_train` has no sample of class 2, but labels go up to 3"),
            ({"y_test": np.array([0, 10**12])}, "`y_train` has no sample of class 3, but labels go up to 10{12};"),
            ({"y_train": np.array([0, 1, None, 1])}, "`y_train` cannot be read .*allow_pickle"),
        ],
    )
    def test_an_array_that_does_not_fit_is_named_with_its_file(self, tmp_path, changes, complaint):
        path = write_npz(tmp_path, **changes)
        with pytest.raises(DataError, match=complaint) as error:
            load("npz", path=path)
        assert str(error.value).startswith(f"{path}: ")

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'data.npz'}: there is no such file")):
            load("npz", path=tmp_path / "data.npz")

    @pytest.mark.parametrize("damage", [lambda content: content[:-30], lambda content: b"x_train,y_train\n"])
    def test_a_file_that_is_no_npz_is_named(self, tmp_path, damage):
        path = write_npz(tmp_path)
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(DataError, match=re.escape(f"{path}: not an npz file, or cut short")):
            load("npz", path=path)

    def test_a_flipped_byte_is_noticed(self, tmp_path):
        path = write_npz(tmp_path)
        content = bytearray(path.read_bytes())
        content[content.index(np.float64(0.125).tobytes()) + 6] ^= 1  # inside x_test: the zip's checksum no longer fits
        path.write_bytes(content)
        with pytest.raises(DataError, match="`x_test` cannot be read"):
            load("npz", path=path)


class TestStandardize:
    def test_each_channel_of_the_training_images_has_mean_0_and_deviation_1(self, tmp_path):
        """The test images move by the same amounts: statistics of their own would hide a shift between the parts."""
        scale, shift = np.array([1, 0.01, 5])[:, None, None], np.array([0, 0.5, -3])[:, None, None]
        x_train, x_test = np.split(np.random.default_rng(0).random((6, 3, 6, 6)) * scale + shift, [4])
        dataset = load("npz", path=write_npz(tmp_path, x_train=x_train, x_test=x_test), standardize=True)
        assert torch.allclose(dataset.x_train.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
        assert torch.allclose(dataset.x_train.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)
        mean, std = x_train.mean((0, 2, 3), keepdims=True), x_train.std((0, 2, 3), keepdims=True)
        assert np.allclose(dataset.x_test, (x_test - mean) / std, atol=1e-4)

    def test_vectors_share_one_mean_and_one_deviation(self, tmp_path):
        """One pair per feature would blow up pixels that are nearly constant, at an image's border for example."""
        x_train = np.array([[0.0, 10.0], [2.0, 12.0], [0.0, 10.0], [2.0, 12.0]])
        dataset = load("npz", path=write_npz(tmp_path, x_train=x_train), standardize=True)
        assert np.allclose(dataset.x_train, (x_train - 6) / np.sqrt(26), atol=1e-6)  # deviations 6, 4, 4, 6

    def test_a_constant_channel_becomes_zero(self, tmp_path):
        x = np.random.default_rng(0).random((4, 2, 3, 3))
        x[:, 1] = 0.1
        dataset = load("npz", path=write_npz(tmp_path, x_train=x, x_test=x[:2]), standardize=True)
        assert dataset.x_train[:, 1].abs().max() < 1e-6
        assert dataset.x_train[:, 0].std() > 0.9

    def test_images_are_left_alone_unless_it_is_asked_for(self, tmp_path):
        write_idx(tmp_path)
        plain, standardized = (load("mnist", root=tmp_path, standardize=choice) for choice in (False, True))
        assert torch.allclose(
            standardized.x_train * plain.x_train.std(correction=0) + plain.x_train.mean(), plain.x_train
        )
        assert torch.equal(plain.y_train, standardized.y_train)
        assert plain.x_train.min() >= 0 > standardized.x_train.min()


class TestNames:
    @pytest.mark.parametrize(
        ("typed", "meant"), [("minst", "mnist"), ("Fashion-MNIST", "fashion_mnist"), ("digit", "digits")]
    )
    def test_a_mistyped_name_is_answered_with_the_nearest_and_all_valid_ones(self, typed, meant):
        with pytest.raises(ConfigError) as error:
            load(typed)
        assert str(error.value) == (
            f"stream.name: unknown dataset `{typed}`; did you mean `{meant}`? "
            "Valid names: digits, mnist, fashion_mnist, kmnist, cifar10, npz, folder."
        )

    def test_a_name_like_no_other_gets_no_guess(self):
        with pytest.raises(ConfigError, match=r"unknown dataset `xyz`\. Valid names: digits,"):
            load("xyz")

    def test_every_loader_says_in_one_line_what_it_loads(self):
        for name, loader in DATASETS.items():
            assert loader.__doc__, name
            assert "\n" not in loader.__doc__, name
