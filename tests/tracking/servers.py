"""PostgreSQL and `mlflow server` as processes that a test may end, stop and start again at the same address."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from clep.tracking.ui import free_port

_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


def postgres_tool(name):
    """The path of a program of PostgreSQL; Debian keeps most of them off the path."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else "")


class _Process:
    """A process with a group of its own, from the moment that it answers."""

    def start(self):
        with self.log.open("a") as words:
            self.process = subprocess.Popen(
                self.command, stdout=words, stderr=words, start_new_session=True, **self.options
            )
        deadline = time.monotonic() + 120
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGINT)  # PostgreSQL: end now and orderly
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def send(self, number):
        """Send a signal to the process and all that it started; wait for its end if it is a deadly one."""
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()


class Postgres(_Process):
    """A PostgreSQL of its own, reached by a socket in its folder. The test is skipped where there is none."""

    def __init__(self):
        if not (initdb := postgres_tool("initdb")):
            pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        pytest.importorskip("psycopg2", reason="psycopg2-binary is not installed (the extra `dev` has it)")
        self.folder = Path(tempfile.mkdtemp(prefix="clep-pg-"))  # a short path, which an unprivileged user may enter
        self.log = self.folder / "log"
        self.options = {"cwd": self.folder}
        if os.geteuid() == 0:
            known = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self.folder, known.pw_uid, known.pw_gid)
            self.options |= {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
        data = str(self.folder / "data")
        create = [initdb, "-D", data, "-U", "clep", "--auth", "trust", "--no-sync", "--encoding", "UTF8"]
        subprocess.run(create, check=True, capture_output=True, **self.options)
        self.command = [postgres_tool("postgres"), "-D", data, "-k", str(self.folder), "-h", ""]
        self.command += ["-F", "-c", "max_connections=200"]

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        shutil.rmtree(self.folder)

    def answers(self):
        ready = [postgres_tool("pg_isready"), "-q", "-h", str(self.folder)]
        return subprocess.run(ready, check=False).returncode == 0

    def uri(self, database="postgres"):
        """The address of a database in it."""
        return f"postgresql+psycopg2://clep@/{database}?host={self.folder}"  # SQLAlchemy 2.1 would take psycopg 3

    def empty_database(self, name):
        """Make a database, and return its address."""
        command = [postgres_tool("createdb"), "-h", str(self.folder), "-U", "clep", name]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)
        return self.uri(name)

    def stop(self, number):
        """End it alone, as its administrator does: orderly by SIGINT, at once by SIGQUIT."""
        self.process.send_signal(number)
        self.process.wait(timeout=60)


class MlflowServer(_Process):
    """An `mlflow server` on the loopback interface, which keeps artifacts in `kept`.

    Args:
        folder: for its artifacts and its log.
        database: the address of its database; an SQLite file in the folder by default.
        workers: number of its processes.
    """

    def __init__(self, folder, database="", workers=1):
        port = free_port(0)
        self.uri, self.log = f"http://127.0.0.1:{port}", folder / "log"
        self.command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        self.command += ["--workers", str(workers), "--serve-artifacts"]
        self.command += ["--artifacts-destination", str(folder / "kept")]
        settings = {"MLFLOW_BACKEND_STORE_URI": database or f"sqlite:///{folder}/server.db"}
        settings |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.options = {"cwd": folder, "env": {**os.environ, **settings}}

    def answers(self):
        with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
            return True
        return False
