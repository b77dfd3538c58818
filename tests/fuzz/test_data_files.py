"""Any bytes and any structure in the files of every reader: either samples that training can stand on, or a refusal."""

import io
import pickle
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import clep
from clep.datasets.cifar10 import CIFAR10_FILES
from clep.datasets.idx import IDX_FILES
from clep.errors import ClepError
from tests.datasets.writers import idx, write_cifar, write_idx, write_npz

pytestmark = pytest.mark.slow

FUZZ = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(),
    arrays.unsigned_integer_dtypes(),
    arrays.floating_dtypes(),
    arrays.complex_number_dtypes(),
    arrays.byte_string_dtypes(max_len=3),
    arrays.datetime64_dtypes(),
)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
ARRAYS = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, SHAPES))
LABELS = st.lists(st.one_of(st.integers(-2, 300), st.integers(-(2**63), 2**64 - 1), st.floats()), max_size=6)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "scale": st.floats(1e-300, 1e300),
        "layout": st.sampled_from(["auto", "channels_first", "channels_last"]),
        "standardize": st.booleans(),
        "missing_test": st.sampled_from(["refuse", "ignore"]),
        "validation_fraction": st.floats(0, 0.9),
    },
)


def read(name, where, **options):
    """Load as a run does; what is not refused must be usable."""
    key = "root" if name in ("mnist", "cifar10") else "path"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stream = clep.stream(name, experiences=1, download=False, **{key: str(where), **options})
    except ClepError as error:
        message = str(error)
        known = ("scale: ", "layout: ", "validation_fraction: ", "experiences: ", "class_order: ", str(where))
        assert message.startswith(known), message
        assert " at 0x" not in message
        return
    x, y = stream.samples.x, stream.samples.y
    assert x.isfinite().all()
    assert y.min() >= 0
    assert set(y.tolist()) == set(range(len(stream.class_order)))
    assert 0 < stream.chance <= 1


def damaged(content):
    """A file with some bytes replaced, cut out or added."""
    return st.builds(
        lambda start, length, new: content[:start] + new + content[start + length :],
        st.integers(0, len(content)),
        st.integers(0, 40),
        st.binary(max_size=40),
    )


@FUZZ
@given(st.fixed_dictionaries(dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), ARRAYS)), OPTIONS)
def test_arrays_of_any_type_and_shape(tmp_path, content, options):
    read("npz", write_npz(tmp_path, **content), **options)


@FUZZ
@given(st.data(), OPTIONS)
def test_labels_and_samples_that_nearly_fit(tmp_path, data, options):
    n = data.draw(st.integers(1, 6))
    dtype = data.draw(st.sampled_from(["u1", "u2", "u8", "i1", "i8", "f2", "f4", "f8", "?"]))
    shape = data.draw(st.sampled_from([(n, 3), (n, 2, 2), (n, 3, 4, 4), (n, 4, 4, 3), (n, 3, 4, 3), (n, 1, 1, 1)]))
    x = data.draw(arrays.arrays(dtype, shape))
    y = data.draw(arrays.arrays(st.sampled_from(["u1", "i8", "u8", "f8"]), n, elements=None))
    few = data.draw(arrays.arrays("i8", n, elements=st.integers(0, 2)))
    y = data.draw(st.sampled_from([y, few]))
    read("npz", write_npz(tmp_path, x_train=x, y_train=y, x_test=x, y_test=y), **options)


@FUZZ
@given(st.data())
def test_bytes_of_an_npz_file(tmp_path, data):
    path = write_npz(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(data.draw(st.one_of(st.binary(max_size=400), damaged(whole))))
    read("npz", path)


@FUZZ
@given(st.data())
def test_members_of_an_npz_file(tmp_path, data):
    path = write_npz(tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = data.draw(st.sampled_from(sorted(members)))
    members[name] = data.draw(st.one_of(st.binary(max_size=200), damaged(members[name])))
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    read("npz", path)


@FUZZ
@given(st.data())
def test_bytes_of_idx_files(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("idx")
    raw = write_idx(root, compress=data.draw(st.booleans()))
    file = data.draw(st.sampled_from(sorted(raw.iterdir())))
    file.write_bytes(data.draw(st.one_of(st.binary(max_size=300), damaged(file.read_bytes()))))
    read("mnist", root)


@FUZZ
@given(st.data(), OPTIONS)
def test_arrays_of_idx_files(tmp_path_factory, data, options):
    root = tmp_path_factory.mktemp("idx")
    raw = write_idx(root)
    for name in data.draw(st.sets(st.sampled_from(IDX_FILES))):
        dimensions = 3 if "images" in name else 1
        content = data.draw(arrays.arrays("u1", arrays.array_shapes(min_dims=dimensions, max_dims=dimensions)))
        (raw / name).write_bytes(idx(content))
    read("mnist", root, **options)


@FUZZ
@given(st.data())
def test_bytes_of_pickled_batches(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("cifar")
    file = write_cifar(root) / data.draw(st.sampled_from(CIFAR10_FILES))
    file.write_bytes(data.draw(st.one_of(st.binary(max_size=300), damaged(file.read_bytes()))))
    read("cifar10", root)


@FUZZ
@given(LABELS, st.data(), OPTIONS)
def test_structure_of_pickled_batches(tmp_path_factory, labels, data, options):
    root = tmp_path_factory.mktemp("cifar")
    images = np.full((len(labels), 3072), 200, np.uint8)
    other = st.one_of(ARRAYS, st.text(max_size=3), st.none(), st.lists(st.text(max_size=2), max_size=3))
    batch = {"data": images, "labels": labels}
    if data.draw(st.booleans()):
        batch[data.draw(st.sampled_from(["data", "labels", "more"]))] = data.draw(other)
    content = data.draw(st.sampled_from([batch, batch["data"], list(batch), {}]))
    (write_cifar(root) / CIFAR10_FILES[0]).write_bytes(pickle.dumps(content, protocol=2))
    read("cifar10", root, **options)


def png(mode, size, level):
    buffer = io.BytesIO()
    Image.new(mode, size, level).save(buffer, "png")
    return buffer.getvalue()


PICTURE = png("RGB", (4, 4), (255, 0, 128))
PICTURES = st.one_of(
    damaged(PICTURE),
    st.binary(max_size=100),
    st.builds(png, st.sampled_from(["L", "1", "P", "RGB", "RGBA", "LA", "I;16"]), st.just((4, 4)), st.just(1)),
    st.just(PICTURE),
)
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6)


@FUZZ
@given(st.dictionaries(NAMES, st.lists(PICTURES, max_size=3), max_size=3), st.booleans(), OPTIONS)
def test_folders_and_zips_of_images(tmp_path_factory, classes, zips, options):
    root = tmp_path_factory.mktemp("images")
    for part in ("train", "test"):
        files = {f"{name}/{i}.png": content for name, many in classes.items() for i, content in enumerate(many)}
        if zips:
            with zipfile.ZipFile(root / f"{part}.zip", "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
            continue
        for name, content in files.items():
            if name.split("/")[0] not in (".", ".."):
                (root / part / name).parent.mkdir(parents=True, exist_ok=True)
                (root / part / name).write_bytes(content)
    read("folder", root, **options)


@FUZZ
@given(st.data())
def test_bytes_of_a_zip_of_images(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("images")
    for part in ("train", "test"):
        with zipfile.ZipFile(root / f"{part}.zip", "w") as archive:
            for name in ("a", "b"):
                archive.writestr(f"{name}/0.png", PICTURE)
    whole = (root / "train.zip").read_bytes()
    (root / "train.zip").write_bytes(data.draw(st.one_of(st.binary(max_size=100), damaged(whole))))
    read("folder", root)
