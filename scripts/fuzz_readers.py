"""Damage data files where it leads to new code, and see that every reader takes them or refuses them by name.

    pip install 'clep-lab[fuzz]'
    python scripts/fuzz_readers.py [npz|idx|cifar|folder] [--seconds 60]

Atheris changes bytes, watches which lines of the readers a change reaches, and keeps what reaches new ones. An error
that is not clep's own stops it, and the file is left as `crash-...` in the working directory.
"""

import argparse
import io
import pickle
import struct
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np
from PIL import Image

with atheris.instrument_imports(include=["clep.datasets", "numpy.lib", "zipfile"]):
    from clep.datasets.arrays import dataset_of
    from clep.datasets.cifar10 import read_cifar_batch
    from clep.datasets.idx import read_idx
    from clep.datasets.image_folder import folder
    from clep.datasets.npz import npz

from clep.errors import ClepError


def _npz(path: Path, content: bytes) -> None:
    (path / "data.npz").write_bytes(content)
    dataset_of(npz(path=path / "data.npz"))


def _idx(path: Path, content: bytes) -> None:
    (path / "images").write_bytes(content)
    read_idx(path / "images", 3)


def _cifar(path: Path, content: bytes) -> None:
    (path / "data_batch_1").write_bytes(content)
    read_cifar_batch(path / "data_batch_1")


def _folder(path: Path, content: bytes) -> None:
    """Two zips of two classes, the same bytes in all of their images, or as one of the zips."""
    for part in ("train", "test"):
        with zipfile.ZipFile(path / f"{part}.zip", "w") as archive:
            for name in ("a", "b"):
                archive.writestr(f"{name}/0.png", content)
    if content.startswith(b"PK"):
        (path / "train.zip").write_bytes(content)
    dataset_of(folder(path=path))


READERS: dict[str, Callable[[Path, bytes], None]] = {"npz": _npz, "idx": _idx, "cifar": _cifar, "folder": _folder}


def seeds() -> dict[str, list[bytes]]:
    """Small files that each reader takes, to begin with."""
    packed, picture, archive = io.BytesIO(), io.BytesIO(), io.BytesIO()
    labels = np.array([0, 1])
    np.savez(packed, x_train=np.eye(2), y_train=labels, x_test=np.eye(2), y_test=labels)
    Image.new("L", (4, 4), 7).save(picture, "png")
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("a/0.png", picture.getvalue())
        zipped.writestr("b/0.png", picture.getvalue())
    images = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 2, 2) + bytes(8)
    batch = pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [0]}, protocol=2)
    return {
        "npz": [packed.getvalue()],
        "idx": [images],
        "cifar": [batch],
        "folder": [picture.getvalue(), archive.getvalue()],
    }


def main() -> None:
    """Fuzz one reader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", nargs="?", default="npz", choices=READERS)
    parser.add_argument("--seconds", type=int, default=60, help="how long")
    arguments = parser.parse_args()
    read = READERS[arguments.reader]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        work, corpus = Path(place) / "work", Path(place) / "corpus"
        work.mkdir()
        corpus.mkdir()
        for number, content in enumerate(seeds()[arguments.reader]):
            (corpus / str(number)).write_bytes(content)

        def attempt(content: bytes) -> None:
            try:
                read(work, content)
            except ClepError as error:
                if len(str(error)) > 2000 or " at 0x" in str(error):
                    raise RuntimeError(f"a message that nobody can read: {error}") from error

        options = [f"-max_total_time={arguments.seconds}", "-max_len=8192", "-rss_limit_mb=4096", "-timeout=20"]
        atheris.Setup([sys.argv[0], *options, str(corpus)], attempt)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
