"""What the first run of a process costs beyond its work, spent once in the process that others are forked from."""

import importlib
import logging
import sqlite3
import tempfile
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

from clep.tracking.store import client_of, load_mlflow
from clep.tracking.trouble import quiet

_logger = logging.getLogger(__name__)

_DEFAULT_EXPERIMENT = "0"


def warm_up() -> None:
    """Do what MLflow and SQLAlchemy do at the first call of each kind: a whole run, in a store that is thrown away."""
    load_mlflow()
    with tempfile.TemporaryDirectory(prefix="clep-") as folder, warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        uri = f"sqlite:///{folder}/mlflow.db"
        try:
            _make(Path(folder) / "mlflow.db")
            _record(client_of(uri))
            _forget(uri)
        except Exception as error:  # another version of MLflow has all this elsewhere, and is just slower
            _logger.debug("MLflow is not warmed up: %s", error)


def _record(client: Any) -> None:
    entities = load_mlflow().entities
    run_id = client.create_run(_DEFAULT_EXPERIMENT, tags={"a": "1"}, run_name="warm").info.run_id
    for step in range(2):
        points = [entities.Metric(name, float(step), step, step) for name in ("a", "b")]
        client.log_batch(run_id, points, [entities.Param(f"{step}", "1")], synchronous=True)
    client.set_tag(run_id, "a", "2")
    client.set_terminated(run_id)


def _make(path: Path) -> None:
    """Make the tables of MLflow at once; its own way, by all its migrations, takes seconds."""
    database: Any = importlib.import_module("mlflow.store.db.utils")
    tables = importlib.import_module("mlflow.store.db.base_sql_model").Base.metadata.sorted_tables
    schema = importlib.import_module("sqlalchemy.schema")
    importlib.import_module("sqlalchemy.orm").configure_mappers()
    dialect = importlib.import_module("sqlalchemy.dialects.sqlite").dialect()
    statements = [schema.CreateTable(table) for table in tables]
    statements += [schema.CreateIndex(index) for table in tables for index in table.indexes if len(index.columns)]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(str(statement.compile(dialect=dialect)))
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (database._get_latest_schema_revision(),))


def _forget(uri: str) -> None:
    """Close the connections to a store: they must not be shared with forked processes."""
    store = importlib.import_module("mlflow.store.tracking.sqlalchemy_store").SqlAlchemyStore
    store._engine_map.pop(uri).dispose()
