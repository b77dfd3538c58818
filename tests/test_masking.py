"""Credentials in the address of a store reach nothing that is printed or stored."""

import json
from pathlib import Path

import pytest

from clep import tracking
from clep.cli import main
from clep.masking import masked

SECRETS = {
    "https://user:s3cret@host:5000/path": "https://user:***@host:5000/path",
    "https://s3cret@host": "https://***@host",
    "postgresql://user:s3c/r@t@host/db": "postgresql://user:***@host/db",
    "postgresql://host/db?sslmode=require&password=s3cret&application_name=a": (
        "postgresql://host/db?sslmode=require&password=***&application_name=a"
    ),
    "https://host?access_token=s3cret": "https://host?access_token=***",
}
PLAIN = (
    "sqlite:////data/my store/a:b@c.db",
    "http://localhost:5000/#/experiments/1",
    "postgresql://clep@/db?host=/tmp",
)


@pytest.mark.parametrize("address", SECRETS)
def test_a_credential_is_masked_within_any_text(address):
    assert masked(f"cannot reach `{address}` now") == f"cannot reach `{SECRETS[address]}` now"


@pytest.mark.parametrize("address", PLAIN)
def test_what_is_no_credential_stays(address):
    assert masked(address) == address


def test_no_file_tag_parameter_or_line_holds_the_credential(tmp_path, capfd):
    """With an SQLite address whose query holds it; SQLAlchemy ignores what it does not know of a server's."""
    changes = ["stream.samples_per_experience=32", "network.hidden=[8]", "learner.epochs=1"]
    uri = "sqlite:///mlflow.db?timeout=30&vfs_token=s3cret"
    assert main(["run", *changes, f"tracking.uri={uri}", "--json"]) == 0
    said = capfd.readouterr()
    assert "s3cret" not in said.out + said.err
    assert json.loads(said.out)["tracking_uri"].endswith("vfs_token=***")
    files = [path for path in Path(tmp_path).rglob("*") if path.is_file()]
    assert {"config.yaml", "result.json", "report.html"} <= {path.name for path in files}
    assert [path for path in files if b"s3cret" in path.read_bytes()] == []
    assert tracking.tracking_uri(uri).endswith("s3cret")
