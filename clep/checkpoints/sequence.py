"""The checkpoints of one run: one after each experience, and one within it."""

import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clep import interrupts
from clep.checkpoints.codec import UnsavableError
from clep.checkpoints.files import PARTIAL, read, write
from clep.checkpoints.state import Snapshot
from clep.errors import CheckpointWarning, DataError

_AFTER, _WITHIN = "experience-{:04d}.ckpt", "within-experience.ckpt"
_NUMBER = re.compile(r"experience-(\d+)\.ckpt")
_LARGE = 4_000_000  # bytes that are written in no time
_KEPT = 2  # the latest, and the one before in case it is damaged


@dataclass(frozen=True)
class Saved:
    """Where a run can go on.

    Attributes:
        after: the state after the latest experience that ended; None if none did.
        within: a later state, at the start of an epoch of the next experience; None if there is none.
    """

    after: Snapshot | None = None
    within: Snapshot | None = None


class Checkpoints:
    """Writes the checkpoints of a run into a folder, and finds the latest whole one.

    A checkpoint that cannot be written, as on a full disk or because a plug-in holds something without a form, costs
    no training: it is said once, and the one before stays.

    Args:
        folder: where they are.
        every_minutes: how often to write one within an experience, at the start of an epoch; None for never.
        keep_all: whether to keep one for every experience, for `clep fork`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> Checkpoints(Path(tempfile.mkdtemp())).latest()
        Saved(after=None, within=None)
    """

    def __init__(self, folder: Path, *, every_minutes: float | None = None, keep_all: bool = False) -> None:
        self.folder = folder
        self._every = None if every_minutes is None else 60.0 * every_minutes
        self._keep_all = keep_all
        self._written = time.monotonic()
        self._took, self._bytes = 0.0, 0  # of the latest one
        self._told: set[str] = set()

    @property
    def due(self) -> bool:
        """Whether the latest checkpoint is old enough for one within the experience."""
        return self._every is not None and time.monotonic() - self._written >= self._every

    def after_experience(self, number: int, take: Callable[[], Snapshot]) -> None:
        """Write the state after the experience `number`, counted from 1.

        A large one that takes longer to write than has passed since the last is left out, unless the run is about to
        stop: over a thousand short experiences, each with a longer history, writing would cost more than training.
        """
        too_soon = self._bytes > _LARGE and time.monotonic() - self._written < self._took
        if too_soon and not self._keep_all and not interrupts.asked():
            return
        if self._write(self.folder / _AFTER.format(number), take):
            (self.folder / _WITHIN).unlink(missing_ok=True)
            for path in [] if self._keep_all else self._ended()[:-_KEPT]:
                path.unlink(missing_ok=True)

    def within_experience(self, done: int, take: Callable[[], Snapshot]) -> None:
        """Write the state at the start of an epoch, after `done` whole experiences."""

        def marked() -> Snapshot:
            snapshot = take()
            return snapshot._replace(plain=snapshot.plain | {"experiences": done})

        self._write(self.folder / _WITHIN, marked)

    def after(self, number: int) -> Snapshot:
        """The state after the experience `number`, counted from 1.

        Raises:
            DataError: if it was not kept, or is damaged.
        """
        return Snapshot(*read(self.folder / _AFTER.format(number)))

    def has(self, number: int) -> bool:
        """Whether there is a state after the experience `number`, counted from 1."""
        return (self.folder / _AFTER.format(number)).is_file()

    def latest(self) -> Saved:
        """The latest whole state; a damaged one is named, and the one before it is used."""
        for path in reversed(self._ended()):
            if (after := self._whole(path)) is not None:
                return Saved(after, self._within(_number(path)))
        return Saved(None, self._within(0))

    def clear(self, *, keep_ended: bool = False) -> None:
        """Remove all checkpoints, or all but those after an experience."""
        for path in [*([] if keep_ended else self._ended()), self.folder / _WITHIN, *self.folder.glob(f"*{PARTIAL}")]:
            path.unlink(missing_ok=True)

    def _within(self, done: int) -> Snapshot | None:
        path = self.folder / _WITHIN
        within = self._whole(path) if path.is_file() else None
        return within if within is not None and within.plain["experiences"] == done else None

    def _ended(self) -> list[Path]:
        return sorted((p for p in self.folder.glob("experience-*.ckpt") if _NUMBER.fullmatch(p.name)), key=_number)

    def _whole(self, path: Path) -> Snapshot | None:
        try:
            return Snapshot(*read(path))
        except DataError as error:
            self._tell(f"{error}; the one before it is used")
            return None

    def _write(self, path: Path, take: Callable[[], Snapshot]) -> bool:
        began = time.monotonic()
        try:
            write(path, *take())
            self._bytes = path.stat().st_size
        except UnsavableError as error:
            self._tell(
                f"checkpoint: none is written here: {error}, and that has no form in a file. A strategy says by "
                "`state_dict` and `load_state_dict` what to keep instead"
            )
            return False
        except OSError as error:
            self._tell(f"checkpoint: {path} cannot be written ({error.strerror or error}); training goes on without it")
            return False
        self._written = time.monotonic()
        self._took = self._written - began
        return True

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, CheckpointWarning, stacklevel=4)


def _number(path: Path) -> int:
    found = _NUMBER.fullmatch(path.name)
    assert found is not None
    return int(found[1])
