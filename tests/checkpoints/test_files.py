"""A checkpoint as a file: whole or not there, and nothing in it is executed."""

import errno
import hashlib
import io
import os
import pickle
from pathlib import Path

import pytest
import torch

from clep.checkpoints import files
from clep.errors import DataError


def written(path):
    files.write(path, {"epoch": 3}, {"t0": torch.arange(4.0)})
    return path


def test_reads_what_it_wrote(tmp_path):
    plain, tensors = files.read(written(tmp_path / "new" / "one.ckpt"))
    assert plain == {"epoch": 3}
    assert torch.equal(tensors["t0"], torch.arange(4.0))
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["one.ckpt"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.02, 0.3, 0.6, 0.999])
def test_any_damage_is_found(tmp_path, share):
    path = written(tmp_path / "one.ckpt")
    content = bytearray(path.read_bytes())
    for damaged in (content[: int(share * len(content))], content.copy()):
        if len(damaged) == len(content):
            damaged[int(share * len(content))] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"one\.ckpt"):
            files.read(path)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "none.ckpt", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            files.read(path)


class Hostile:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_nothing_in_a_file_is_executed_though_its_checksum_is_right(tmp_path):
    path = tmp_path / "one.ckpt"
    for content in (_saved({"plain": "{}", "tensors": Hostile()}), pickle.dumps(Hostile()), b"", _saved(["{}"])):
        path.write_bytes(files._MAGIC + hashlib.sha256(content).digest() + content)
        with pytest.raises(DataError, match=r"is no checkpoint of clep"):
            files.read(path)
    assert not Path("executed").exists()


def _saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = written(tmp_path / "one.ckpt")
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, {"epoch": 4}, {})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["one.ckpt"]


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_kill_within_a_write_leaves_what_was_there(tmp_path, at):
    path = written(tmp_path / "one.ckpt")
    child = os.fork()
    if child == 0:  # ends like a killed process: nothing is cleaned up
        setattr(os, at, lambda *_: os._exit(9))
        files.write(path, {"epoch": 4}, {"t0": torch.zeros(100)})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert files.read(path)[0] == {"epoch": 3}
    assert len(list(tmp_path.iterdir())) == 2  # what was being written is left, and `Checkpoints.clear` removes it
