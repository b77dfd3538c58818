"""Whether a store answers, asked cheaply; and which errors mean that it does not."""

import importlib
import logging
import sqlite3
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

from clep.errors import ConfigError
from clep.tracking.address import is_database, is_server, shown, sqlite_path

_SERVER_SECONDS, _LOCK_SECONDS = 3.0, 5.0
_GATEWAY = (502, 503, 504)  # a proxy answers for a server that does not
_REFUSED = {"INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST"}
_LOUD = "mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store", "urllib3.connectionpool"


def trouble(uri: str, seconds: float = 0.0) -> str:
    """Why a store does not answer; empty if it does, as far as a cheap look can tell.

    Args:
        uri: the store.
        seconds: how long to wait; 0 for what suits its kind.

    Example:
        >>> trouble("sqlite:////nowhere/mlflow.db")
        'unable to open database file'
    """
    path, _ = sqlite_path(uri)
    if path is not None:
        try:
            mode = f"file:{urllib.request.pathname2url(str(path))}?mode=rw"  # which makes none
            with closing(sqlite3.connect(mode, uri=True, timeout=seconds or _LOCK_SECONDS)) as database:
                database.execute("BEGIN IMMEDIATE")
                database.execute("ROLLBACK")
        except sqlite3.Error as error:
            return str(error)
        return ""
    if is_database(uri):
        return _silence_of_database(uri, seconds or _SERVER_SECONDS)
    return _silence(uri, seconds or _SERVER_SECONDS) if is_server(uri) else ""


def check_server(uri: str) -> None:
    """Refuse a server that does not answer, within seconds and before anything is loaded for the work.

    Args:
        uri: the store; a file is not looked at.

    Raises:
        ConfigError: if the store is an MLflow server or that of a database, and does not answer.
    """
    kind = "MLflow server" if is_server(uri) else "database" if is_database(uri) else ""
    if kind and (reason := trouble(uri)):
        raise ConfigError(
            f"tracking.uri: the {kind} `{shown(uri)}` does not answer ({reason}). Start it or check the address; "
            "without a server: `tracking.uri=sqlite:///mlflow.db`"
        )


def _silence(uri: str, seconds: float) -> str:
    parts = urlsplit(uri)
    plain = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/health"
    try:
        with urllib.request.urlopen(plain, timeout=seconds):
            return ""
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}" if error.code in _GATEWAY else ""
    except OSError as error:
        reason = getattr(error, "reason", error)
        # MLflow may be told to trust a certificate that Python does not.
        return "" if isinstance(reason, ssl.SSLError) else str(getattr(reason, "strerror", "") or reason)


def _silence_of_database(uri: str, seconds: float) -> str:
    """MLflow would try to connect for 100 s, and a database that hangs keeps its drivers waiting for ever."""
    said: list[str] = []
    asking = threading.Thread(target=lambda: said.append(_refusal(uri)), daemon=True)
    asking.start()
    asking.join(seconds)
    return said[0] if said else f"no answer within {seconds:g} s"


def _refusal(uri: str) -> str:
    """What a database says to a new connection; empty if it takes one, or if its driver is not there to ask."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
        engine.connect().close()
    except sqlalchemy.exc.DBAPIError as error:
        return shown(str(error.orig).strip().partition("\n")[0])
    except (sqlalchemy.exc.SQLAlchemyError, ImportError):  # MLflow says what is wrong with the address
        pass
    return ""


def is_outage(error: Exception) -> bool:
    """Whether an error of a call to the store says that it cannot be reached or cannot write, and not that it refuses
    what was sent."""
    code = getattr(error, "error_code", None)
    if code is not None:  # MLflow's own errors
        return code not in _REFUSED
    return isinstance(error, OSError | sqlite3.Error) or type(error).__module__.startswith("sqlalchemy")


@contextmanager
def quiet() -> Iterator[None]:
    """Without the pages that MLflow and its libraries print about a store in trouble: one line is enough."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
