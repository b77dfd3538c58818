"""MLflow's UI: which page shows a run, and a server of one's own for it."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import webbrowser
from contextlib import suppress
from typing import Any

from clep import interrupts
from clep.errors import ClepError, ConfigError
from clep.tracking.address import is_server, run_link, shown, sqlite_path
from clep.tracking.moved import relocate
from clep.tracking.store import client_of, load_mlflow, short
from clep.tracking.views import comparison_link

_HOST = "127.0.0.1"
_PATIENCE = 120.0  # seconds until the server must answer; a loaded machine takes 20
_COMPARISONS = "tags.comparison != ''", "tags.claim != ''"


def page_of(uri: str, run_id: str = "") -> str:
    """The address within the UI of a run's page, or of a comparison's charts.

    Args:
        uri: the store, as returned by `clep.tracking.tracking_uri`.
        run_id: a run or a comparison; empty for the latest comparison of the store, or its latest run without any.

    Raises:
        ConfigError: if the store cannot be read, or holds no such run or no run at all.
    """
    path, _ = sqlite_path(uri)
    if path is not None and not path.is_file():
        raise ConfigError(f"ui: there is no store {path} yet; `clep run` makes one, `--tracking` names another")
    try:
        if path is not None:
            with suppress(sqlite3.OperationalError):  # it may lie on a read-only disk
                relocate(path)
        run = client_of(uri).get_run(run_id) if run_id else _latest(uri)
    except Exception as error:  # MLflow passes on what its many stores raise
        text = f"`{run_id}` is not in the store `{shown(uri)}`" if run_id else f"`{shown(uri)}` cannot be read"
        hint = "`clep run` and `clep compare` print ids; `--tracking` names another store"
        raise ConfigError(f"ui: {text} ({short(error)}); {hint}") from error
    if run is None:
        raise ConfigError(f"ui: the store `{shown(uri)}` holds no run yet; `clep run` and `clep compare` make some")
    tags, experiment = run.data.tags, run.info.experiment_id
    if "comparison" in tags or ("claim" in tags and "mlflow.parentRunId" not in tags):  # its runs have the tag, too
        return comparison_link(uri, experiment, run.info.run_id)
    return run_link(experiment, run.info.run_id)


def _latest(uri: str) -> Any:
    client = client_of(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    for condition in (*_COMPARISONS, ""):
        newest = client.search_runs(experiments, condition, max_results=1, order_by=["attributes.start_time DESC"])
        if newest:
            parent = newest[0].data.tags.get("mlflow.parentRunId")  # runs of a claim have its tag, too
            return client.get_run(parent) if condition and parent else newest[0]
    return None


class Server:
    """An `mlflow ui` of one's own, as a context manager; leaving the block ends it with all of its processes.

    Args:
        uri: the store that it shows.
        port: where to listen; if it is taken, any free port.

    Attributes:
        address: where it answers; set in the block.

    Raises:
        ClepError: if it does not start; the message ends with its last words.
    """

    def __init__(self, uri: str, port: int = 5000) -> None:
        self._uri, self._port = uri, port
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> "Server":
        load_mlflow()  # sets its environment
        self.address = f"http://{_HOST}:{free_port(self._port)}"
        self._log = tempfile.TemporaryFile()
        command = [sys.executable, "-m", "mlflow", "ui", "--host", _HOST, "--port", self.address.rpartition(":")[2]]
        # The address of the store may hold a password, which a command line would show to everyone on the machine. The
        # server's own jobs are for language models: eight processes that nobody here needs.
        settings = {"MLFLOW_BACKEND_STORE_URI": self._uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(
            [*command, "--workers", "1"],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, which can be ended as a whole
        )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        for end in (signal.SIGTERM, signal.SIGKILL):
            _signal_group(process.pid, end)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                process.poll()  # collects it, so that the group can be empty
                if not _signal_group(process.pid, 0):
                    self._log.close()
                    return
                time.sleep(0.05)

    def wait(self) -> None:
        """Return when the server ends by itself.

        Raises:
            ClepError: always, since it should not.
        """
        assert self._process is not None
        code = self._process.wait()
        raise ClepError(f"ui: the MLflow server has ended with code {code}: {self._last_words()}")

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ClepError(f"ui: the MLflow server does not start: {self._last_words()}")
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise ClepError(f"ui: the MLflow server does not answer within {_PATIENCE:.0f} s: {self._last_words()}")

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return shown(" / ".join(lines[-3:]))[-500:]


class Viewed:
    """What `clep ui` shows: the link to a run or a comparison, served as long as the block lasts.

    Args:
        uri: the store; one that is a server needs no other.
        run_id: what to show; empty for the latest comparison.
        port: where to listen, if it is free.
        browser: whether to open the link, where there is a display.

    Raises:
        ConfigError: for a store or a run that cannot be found.
    """

    def __init__(self, uri: str, run_id: str = "", *, port: int = 5000, browser: bool = True) -> None:
        self._page = page_of(uri, run_id)
        self._address = uri
        self._server = None if is_server(uri) else Server(uri, port)
        self._browser = browser and has_display()

    def __enter__(self) -> "Viewed":
        if self._server is not None:
            self._address = self._server.__enter__().address
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.__exit__()

    @property
    def link(self) -> str:
        """What to open in a browser."""
        return f"{shown(self._address).rstrip('/')}/{self._page}"

    def stay(self) -> None:
        """Open the link where that is possible, and serve until Ctrl-C, which is no error."""
        if self._server is None:
            return
        print("clep: Ctrl-C stops the server", file=sys.stderr)
        if self._browser:
            webbrowser.open(self.link)
        try:
            self._server.wait()
        except KeyboardInterrupt:
            interrupts.forget()
            print("clep: the server has stopped", file=sys.stderr)

    def to_text(self) -> str:
        """The line that `clep ui` prints."""
        return self.link

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {"link": self.link}


def free_port(port: int) -> int:
    """The port if nothing listens there, otherwise any that is free."""
    for candidate in (port, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a server that has just ended blocks
            try:
                listener.bind((_HOST, candidate))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise ClepError("ui: no port is free on this machine")


def has_display() -> bool:
    """Whether a browser can be opened here."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; whether there is one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
