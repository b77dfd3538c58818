"""The folder stream: the same pictures and labels as torchvision's reader, from folders and from zips."""

import io
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import clep
from clep import progress
from clep.datasets import load
from clep.datasets.image_folder import natural
from clep.errors import ConfigError, DataError, InputWarning
from tests.datasets.writers import same

CLASSES = ["apple", "Berry", "cherry 2"]  # sorted by name: capitals first


def picture(seed, shape=(4, 6, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(array, kind="png", mode=None):
    buffer = io.BytesIO()
    Image.fromarray(array).convert(mode or ("L" if array.ndim == 2 else "RGB")).save(buffer, kind)
    return buffer.getvalue()


def write(root: Path, shape=(4, 6, 3), kind="png") -> Path:
    """Three classes, 3 images each to learn from and 2 for the test."""
    for part, n in (("train", 3), ("test", 2)):
        for label, name in enumerate(CLASSES):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(n):
                (folder / f"{i:02}.{kind}").write_bytes(encoded(picture(100 * n + 10 * label + i, shape), kind))
    return root


def zipped(root: Path) -> Path:
    for part in ("train", "test"):
        shutil.make_archive(str(root / part), "zip", root / part)
        shutil.rmtree(root / part)
    return root


def refusal(root):
    with pytest.raises(DataError) as error:
        load("folder", path=root)
    return str(error.value)


@pytest.mark.parametrize("kind", ["png", "jpeg", "JPG"])
def test_images_and_labels_are_those_that_torchvision_reads(tmp_path, kind):
    """A reader of its own: transposed pictures, shuffled channels or labels in another order would show."""
    dataset = load("folder", path=str(write(tmp_path, kind="jpeg" if kind == "JPG" else kind)))
    if kind == "JPG":
        for path in list(tmp_path.rglob("*.jpeg")):
            path.rename(path.with_suffix(".JPG"))
        dataset = load("folder", path=tmp_path)
    for part, x, y in (("train", dataset.x_train, dataset.y_train), ("test", dataset.x_test, dataset.y_test)):
        oracle = torchvision.datasets.ImageFolder(tmp_path / part, transform=torchvision.transforms.ToTensor())
        assert torch.equal(x, torch.stack([image for image, _ in oracle]))
        assert y.tolist() == oracle.targets
    assert x.shape == (6, 3, 4, 6)
    assert (dataset.name, dataset.classes, x.dtype, y.dtype) == ("folder", 3, torch.float32, torch.int64)


def test_labels_number_the_class_names_in_sorted_order(tmp_path):
    write(tmp_path)
    shutil.rmtree(tmp_path / "test" / "apple")  # a class without test images keeps the labels of the others
    dataset = load("folder", path=tmp_path)
    assert np.array_equal(dataset.x_train[3] * 255, picture(300).transpose(2, 0, 1))  # "Berry" is before "apple"
    assert np.array_equal(dataset.x_train[0] * 255, picture(310).transpose(2, 0, 1))
    assert dataset.y_test.tolist() == [0, 0, 2, 2]


def test_zips_give_the_same_tensors_as_folders(tmp_path):
    folders, zips = load("folder", path=write(tmp_path / "a")), load("folder", path=zipped(write(tmp_path / "b")))
    assert same(folders, zips)
    (tmp_path / "a" / "train.zip").write_bytes(b"where there is a folder, the zip is not looked at")
    assert same(folders, load("folder", path=tmp_path / "a"))


def test_grey_images_have_one_channel_and_a_palette_is_resolved(tmp_path):
    write(tmp_path / "grey", shape=(4, 6))
    assert load("folder", path=tmp_path / "grey").x_train.shape == (9, 1, 4, 6)
    write(tmp_path / "palette")
    two = np.zeros((4, 6, 3), np.uint8)
    two[1, 2] = (255, 0, 51)
    (tmp_path / "palette" / "train" / "Berry" / "00.png").write_bytes(encoded(two, mode="P"))
    loaded = load("folder", path=tmp_path / "palette").x_train[0]
    assert torch.allclose(loaded[:, 1, 2], torch.tensor([1.0, 0.0, 0.2]))
    assert loaded.sum() == pytest.approx(1.2)


def test_what_file_managers_leave_is_passed_over(tmp_path):
    write(tmp_path)
    expected = load("folder", path=tmp_path)
    (tmp_path / "train" / ".DS_Store").write_bytes(b"")
    (tmp_path / "train" / "apple" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "train" / "__MACOSX" / "apple").mkdir(parents=True)
    (tmp_path / "train" / "__MACOSX" / "apple" / "._00.png").write_bytes(b"")
    assert same(expected, load("folder", path=tmp_path))


def test_it_is_a_stream(tmp_path):
    stream = clep.stream("folder", path=str(write(tmp_path)), experiences=3, class_order="fixed")
    assert [len(e) for e in stream.train] == [3, 3, 3]
    assert stream.train[2].samples.y.tolist() == [2, 2, 2]


def test_reading_shows_its_progress_after_two_seconds(tmp_path, monkeypatch):
    bars = []
    monkeypatch.setattr(progress, "bar", lambda items, **options: bars.append((len(items), options)) or items)
    load("folder", path=write(tmp_path))
    assert [(n, options["delay"]) for n, options in bars] == [(9, 2), (6, 2)]


@pytest.mark.parametrize("zips", [False, True])
@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        (
            "train/apple/05.png",
            encoded(picture(0, (5, 6, 3))),
            r"train.*/apple/05\.png: 6 x 5 pixels in colours, but 6",
        ),
        ("test/apple/01.png", encoded(picture(0, (4, 6))), r"4 pixels in grey levels, but 6 x 4 pixels in colours in "),
        (
            "train/apple/05.png",
            b"no image",
            r"train.*/apple/05\.png: neither a PNG nor a JPEG image: it begins with b'no",
        ),
        ("train/apple/05.png", encoded(picture(0))[:-30], r"train.*/apple/05\.png: cannot be read"),
        ("train/apple/05.png", encoded(picture(0), mode="RGBA"), r"apple/05\.png: pixels of type RGBA; save"),
        ("train/apple/notes.txt", b"", r"train.*/apple/notes\.txt: expected CLASS/IMAGE, a \.png, \.jpg, \.jpeg file"),
        ("train/00.png", encoded(picture(0)), r"train.*/00\.png: expected CLASS/IMAGE"),
        ("train/apple/green/00.png", encoded(picture(0)), r"train.*/apple/green/00\.png: expected CLASS/IMAGE"),
        (
            "test/date/00.png",
            encoded(picture(0)),
            r"no image of class `date` .*Valid classes: Berry, apple, cherry 2\.",
        ),
        ("train/date/", None, r"train.*/date: no image in this class"),
    ],
)
def test_what_does_not_fit_is_named_with_its_file(tmp_path, zips, file, content, complaint):
    path = write(tmp_path) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if content is None else path.write_bytes(content)
    message = refusal(zipped(tmp_path) if zips else tmp_path)
    assert re.search(complaint, message), message
    assert message.startswith(str(tmp_path / (file.partition("/")[0] + (".zip" if zips else ""))))


def test_images_of_another_size_in_the_test_part_are_refused(tmp_path):
    write(tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "test")
    shutil.move(write(tmp_path / "b", shape=(8, 8, 3)) / "test", tmp_path / "a" / "test")
    message = refusal(tmp_path / "a")
    assert "a/test: samples of shape (3, 8, 8), but (3, 4, 6) in " in message


def test_a_part_that_is_missing_empty_or_no_zip_is_named(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path}: found neither `train/` nor `train.zip`; the path names")
    (tmp_path / "train").mkdir()
    assert refusal(tmp_path).startswith(f"{tmp_path / 'train'}: no images; expected CLASS/IMAGE")
    zipped(write(tmp_path / "cut"))
    (tmp_path / "cut" / "test.zip").write_bytes((tmp_path / "cut" / "test.zip").read_bytes()[:-40])
    assert refusal(tmp_path / "cut").startswith(f"{tmp_path / 'cut' / 'test.zip'}: not a zip file, or cut short")


def test_a_flipped_byte_in_a_zip_is_noticed(tmp_path):
    archive = zipped(write(tmp_path)) / "train.zip"
    with zipfile.ZipFile(archive) as content:
        (member,) = [m for m in content.infolist() if m.filename == "apple/01.png"]
    damaged = bytearray(archive.read_bytes())
    damaged[member.header_offset + 30 + len(member.filename) + 20] ^= 255
    archive.write_bytes(damaged)
    assert re.search(r"train\.zip/apple/01\.png: cannot be read", refusal(tmp_path))


def renamed(root, names):
    for part in ("train", "test"):
        for old, new in zip(CLASSES, names, strict=True):
            (root / part / old).rename(root / part / new)
    return root


def test_numbered_classes_are_in_the_order_of_their_numbers(tmp_path):
    """By text, `class 10` would be label 1 and `class 2` label 2."""
    renamed(write(tmp_path), ["class 2", "class 1", "class 10"])
    dataset = load("folder", path=tmp_path)
    assert dataset.class_names == ("class 1", "class 2", "class 10")
    assert np.array_equal(dataset.x_train[0] * 255, picture(310).transpose(2, 0, 1))  # "Berry", now `class 1`
    assert np.array_equal(dataset.x_train[8] * 255, picture(322).transpose(2, 0, 1))


@given(st.lists(st.integers(0, 10**30), unique=True, min_size=1), st.sampled_from(["", "x", "x-"]))
def test_natural_order_is_that_of_the_numbers_whatever_their_length(numbers, prefix):
    assert sorted((f"{prefix}{n}" for n in numbers), key=natural) == [f"{prefix}{n}" for n in sorted(numbers)]


def test_classes_can_be_ordered_by_their_names(tmp_path):
    path = str(write(tmp_path))
    stream = clep.stream("folder", path=path, experiences=3, class_order=["cherry 2", "Berry", "apple"])
    assert stream.class_names == ("Berry", "apple", "cherry 2")
    assert stream.class_order == (2, 0, 1)
    for wrong, message in (
        (["cherry 2", "Bery", "apple"], r"^class_order: unknown class `Bery`; did you mean `Berry`\?"),
        (["cherry 2", "Berry"], r"^class_order: expected every class once; `apple` is missing"),
        (["cherry 2", "cherry 2", "apple"], r"^class_order: expected each entry once"),
        (["cherry 2", 1], r"^class_order: expected names of classes, got 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            clep.stream("folder", path=path, experiences=1, class_order=wrong)
    with pytest.raises(ConfigError, match=r"^class_order: the classes of `digits` have numbers only, 0 to 9"):
        clep.stream("digits", class_order=["one", "two"])


def test_an_accent_written_in_two_ways_is_one_class(tmp_path):
    """A Mac writes é as e and an accent."""
    renamed(write(tmp_path), ["caf\u00e9", "th\u00e9", "x"])
    (tmp_path / "test" / "th\u00e9").rename(tmp_path / "test" / "the\u0301")
    dataset = load("folder", path=tmp_path)
    assert dataset.class_names == ("caf\u00e9", "th\u00e9", "x")
    assert dataset.y_test.tolist() == [0, 0, 1, 1, 2, 2]
    stream = clep.stream("folder", path=str(tmp_path), experiences=1, class_order=["the\u0301", "x", "caf\u00e9"])
    assert stream.class_order == (1, 2, 0)


def test_a_zip_of_the_whole_part_is_read_like_a_zip_of_what_is_in_it(tmp_path):
    expected = load("folder", path=write(tmp_path / "a"))
    write(tmp_path / "b")
    for part in ("train", "test"):
        shutil.make_archive(str(tmp_path / "b" / part), "zip", tmp_path / "b", part)
        shutil.rmtree(tmp_path / "b" / part)
    with pytest.warns(
        InputWarning, match=r"train\.zip: everything in this zip or folder is in another folder, `train/`"
    ):
        assert same(expected, load("folder", path=tmp_path / "b"))


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_picture_with_transparent_pixels_is_refused_and_one_without_is_read(tmp_path, mode):
    """Its colours say nothing where it is transparent: a palette may be all black, the picture in its transparency."""
    levels = np.repeat(np.array([[0, 1, 1, 0]], np.uint8), 4, 0)
    image = Image.fromarray(levels if mode != "RGB" else np.stack([levels] * 3, 2), mode)
    if mode == "P":
        image.putpalette([0] * 768)
    clear, opaque = ((0, 1), (9, 9))  # a level in the picture, and one that is not
    for key, refused in ((clear, True), (opaque, False)):
        root = write(tmp_path / str(refused), shape=(4, 4) if mode == "L" else (4, 4, 3))
        transparency = tuple(key[:1] * 3) if mode == "RGB" else key[0]
        image.save(root / "train" / "apple" / "00.png", transparency=transparency)
        if refused:
            assert re.search(r"apple/00\.png: some pixels are transparent; save it without", refusal(root))
        else:
            assert load("folder", path=root).class_names == ("Berry", "apple", "cherry 2")


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n", b"<html>404</html>", b""])
def test_a_file_that_is_no_image_is_named_by_what_it_holds_and_given_to_no_other_program(
    tmp_path, monkeypatch, content
):
    """Pillow calls Ghostscript for EPS, whatever the file is called."""
    monkeypatch.setattr("subprocess.Popen", lambda *args, **options: pytest.fail(f"{args} was started"))
    (write(tmp_path) / "train" / "apple" / "00.png").write_bytes(content)
    message = refusal(tmp_path)
    assert "apple/00.png: neither a PNG nor a JPEG image: it " in message
    assert "0x" not in message
    assert str(content[:10])[2:-1] in message


@pytest.mark.parametrize("where", ["train/apple/00.png", "test.zip"])
def test_a_pipe_is_refused_at_once(tmp_path, where):
    write(tmp_path)
    if where == "test.zip":
        shutil.rmtree(tmp_path / "test")
    else:
        (tmp_path / where).unlink()
    os.mkfifo(tmp_path / where)
    assert refusal(tmp_path).startswith(f"{tmp_path / where}: is a named pipe, not a file; ")


def test_a_folder_that_contains_itself_by_a_link_is_refused_by_name(tmp_path):
    write(tmp_path)
    for i in range(12):  # followed without end, these would be 12 to the power of 40 folders
        (tmp_path / "train" / "apple" / f"loop {i}").symlink_to(tmp_path / "train")
    assert re.search(r"train/apple/loop \d+/.*: expected CLASS/IMAGE", refusal(tmp_path))
