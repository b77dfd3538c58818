"""What a run could not send to its store yet: entries in order, a line of JSON each, and copies of its files."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from clep.tracking.locking import Held, locked

FILE = "journal.jsonl"
_CURSOR = "journal.cursor"
_FILES = "journal-files"
_PATIENCE = 60.0  # seconds that a run waits for a `clep sync` of its journal
VERSION = 1

Entry = dict[str, Any]


class Journal:
    """The journal of a run, as a context manager that keeps every other process from it.

    A disk that takes nothing is no error: entries wait in memory until it does.

    Args:
        folder: where it lies; made when needed.
        about: what its first line says: the store and the run.
        patience: seconds to wait for another process that has it open.

    Attributes:
        run_id: the id that the store gave the run when it was created late; empty otherwise.

    Raises:
        Held: if another process has it open for longer.
    """

    def __init__(self, folder: Path, about: dict[str, str], *, patience: float = _PATIENCE) -> None:
        self.folder, self._about, self._patience = folder, about, patience
        self._entries: list[Entry] = []
        self._written = self._delivered = 0
        self.run_id = ""
        self._stack = ExitStack()

    def __enter__(self) -> "Journal":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._stack.enter_context(locked(self.folder / FILE, "a journal", patience=self._patience))
        except Held:
            raise
        except (OSError, sqlite3.Error):  # a full disk
            pass
        if lines := _lines(self.folder / FILE):
            self._entries = lines[1:]
            self._written = len(self._entries)
            self._read_cursor()
        return self

    def __exit__(self, *_: object) -> None:
        done = not self.waiting or not self._written  # a full disk may have taken the name of the file and nothing else
        if done:
            for name in (FILE, _CURSOR):  # in this order: a cursor alone means nothing
                with suppress(OSError):
                    (self.folder / name).unlink()
            shutil.rmtree(self.folder / _FILES, ignore_errors=True)
        self._stack.close()
        if done:
            with suppress(OSError):  # others keep things there, too
                (self.folder / f"{FILE}.lock").unlink(missing_ok=True)
                self.folder.rmdir()
                self.folder.parent.rmdir()

    @property
    def waiting(self) -> int:
        """How many entries are not delivered."""
        return len(self._entries) - self._delivered

    @property
    def on_disk(self) -> bool:
        """Whether all of it would survive the process."""
        return self._written == len(self._entries)

    def append(self, entry: Entry) -> None:
        """Add an entry; files that it names are copied."""
        if source := entry.pop("source", None):
            try:
                entry["kept"] = self._keep(Path(source), whole=entry["whole"])
            except OSError as error:
                shutil.rmtree(self.path_of({"kept": self._next}), ignore_errors=True)
                entry["lost"] = f"{Path(source).name}: {_reason(error)}"
        self._entries.append(entry)
        with suppress(OSError):
            self._write()

    def entries(self) -> Iterator[tuple[Entry, bool]]:
        """Each entry that is not delivered, and whether it may have been; taking the next one says that it now is."""
        again = True  # a process may have died between an answer and the cursor
        while self.waiting:
            entry = self._entries[self._delivered]
            yield entry, again or entry.get("again", False)
            again = False
            self._delivered += 1
            with suppress(OSError):
                self._write_cursor()

    def path_of(self, entry: Entry) -> Path:
        """The folder with the files of an entry."""
        return self.folder / _FILES / str(entry["kept"])

    @property
    def _next(self) -> str:
        """The name of the folder with the files of the next entry."""
        return f"{len(self._entries):04}"

    def _keep(self, source: Path, *, whole: bool) -> str:
        """Copy a file, or a folder, or (`whole`) what is in a folder; return the name of the folder with the copy."""
        name = self._next
        target = self.folder / _FILES / name
        copied = target if whole else target / source.name
        copied.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copied)
        else:
            shutil.copyfile(source, copied)
        return name

    def _write(self) -> None:
        """Append what the file lacks; a line that a full disk cut is cut off first."""
        path = self.folder / FILE
        if not self._written:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _CURSOR).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        lines = [{"version": VERSION, **self._about}] * (not self._written) + self._entries[self._written :]
        with path.open("a+b") as file:
            end = file.seek(0, os.SEEK_END)
            try:
                file.write("".join(f"{json.dumps(line)}\n" for line in lines).encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    os.ftruncate(file.fileno(), end)
                raise
        self._written = len(self._entries)

    def _write_cursor(self) -> None:
        new = self.folder / f"{_CURSOR}.new"
        new.write_text(json.dumps({"delivered": self._delivered, "run_id": self.run_id}), encoding="utf-8")
        os.replace(new, self.folder / _CURSOR)

    def _read_cursor(self) -> None:
        with suppress(OSError, ValueError):
            found = json.loads((self.folder / _CURSOR).read_text(encoding="utf-8"))
            self._delivered, self.run_id = min(found["delivered"], len(self._entries)), found["run_id"]


def about(folder: Path) -> dict[str, str]:
    """The first line of the journal in a folder: `store` and `run`; empty if there is no journal."""
    lines = _lines(folder / FILE)
    return lines[0] if lines else {}


def _reason(error: OSError) -> str:
    """Why a file could not be copied; of a folder with many, why the first could not."""
    reasons = [reason for *_, reason in error.args[0]] if isinstance(error, shutil.Error) else []
    return str(reasons[0] if reasons else error.strerror or error).partition(": ")[0]


def _lines(path: Path) -> list[Entry]:
    """The lines of a journal, none if there is none; the last one may have been cut by the end of its process."""
    found: list[Entry] = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found
