"""The checkpoints of a run: which are kept, which is used."""

import errno
import warnings

import pytest
import torch

from clep.checkpoints import Checkpoints, Snapshot, UnsavableError, sequence
from clep.errors import CheckpointWarning


def state(value):
    return lambda: Snapshot({"value": value}, {"t0": torch.tensor(value)})


def values(saved):
    return tuple(None if part is None else part.plain["value"] for part in (saved.after, saved.within))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_last_two_are_kept_unless_all_are_asked_for(tmp_path):
    for keep_all, kept in ((False, ["0002", "0003"]), (True, ["0001", "0002", "0003"])):
        checkpoints = Checkpoints(tmp_path / str(keep_all), keep_all=keep_all)
        for number in (1, 2, 3):
            checkpoints.after_experience(number, state(number))
        assert names(checkpoints.folder) == [f"experience-{number}.ckpt" for number in kept]
        assert values(checkpoints.latest()) == (3, None)


def test_a_large_one_is_left_out_if_writing_takes_longer_than_the_experience_unless_the_run_is_to_stop(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sequence, "_LARGE", 0)
    clock = iter(range(100))
    monkeypatch.setattr(sequence.time, "monotonic", lambda: float(next(clock)))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.after_experience(1, state(1))  # from 1 to 2
    checkpoints._took = 5.0
    checkpoints.after_experience(2, state(2))
    assert values(checkpoints.latest()) == (1, None)
    monkeypatch.setattr(sequence.interrupts, "asked", lambda: True)
    checkpoints.after_experience(3, state(3))
    assert values(checkpoints.latest()) == (3, None)


def test_a_state_within_an_experience_belongs_to_the_one_before_it(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert values(checkpoints.latest()) == (None, None)
    checkpoints.within_experience(0, state(5))
    assert values(checkpoints.latest()) == (None, 5)
    checkpoints.after_experience(1, state(10))
    assert values(checkpoints.latest()) == (10, None)
    checkpoints.within_experience(1, state(15))
    assert values(checkpoints.latest()) == (10, 15)
    checkpoints.clear()
    assert names(tmp_path) == []


def test_a_damaged_one_is_named_and_the_one_before_it_used(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for number in (1, 2):
        checkpoints.after_experience(number, state(number))
    checkpoints.within_experience(2, state(25))
    path = tmp_path / "experience-0002.ckpt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning, match=r"experience-0002\.ckpt is damaged.*the one before it is used"):
        assert values(checkpoints.latest()) == (1, None)


def test_what_cannot_be_written_is_said_once_and_costs_nothing_else(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.after_experience(1, state(1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(sequence, "write", full)
        with pytest.warns(CheckpointWarning, match="No space left on device.; training goes on without it"):
            checkpoints.after_experience(2, state(2))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            checkpoints.after_experience(2, state(2))

    def unsavable():
        raise UnsavableError("Mine.loader is a socket.socket")

    with pytest.warns(CheckpointWarning, match=r"Mine\.loader is a socket\.socket"):
        checkpoints.within_experience(1, unsavable)
    assert values(checkpoints.latest()) == (1, None)


def test_one_within_an_experience_is_due_after_the_time_asked_for(tmp_path):
    assert Checkpoints(tmp_path, every_minutes=0.0).due
    assert not Checkpoints(tmp_path, every_minutes=60.0).due
    assert not Checkpoints(tmp_path).due
