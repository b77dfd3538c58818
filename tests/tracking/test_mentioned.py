"""What a store lacks is mentioned by the next command, in one line."""

from clep import tracking
from clep.tracking.journal import Journal


def journal(uri, run_id):
    return Journal(tracking.state_folder(uri, run_id), {"store": uri, "run": run_id})


def test_runs_that_have_ended_are_mentioned_with_the_command_and_one_that_goes_on_is_not(tmp_path, capsys):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracking.mention_undelivered(uri)
    assert capsys.readouterr().err == ""
    for run_id in ("a" * 32, "b" * 32):
        with journal(uri, run_id) as waits:
            waits.append({"kind": "tag", "key": "a", "value": "b"})
    with journal(uri, "c" * 32) as goes_on:
        goes_on.append({"kind": "tag", "key": "a", "value": "b"})
        tracking.mention_undelivered(uri)
    assert capsys.readouterr().err == (
        "clep: 2 runs have something to deliver to the store: aaaaaaaa, bbbbbbbb; `clep sync` does it\n"
    )


def test_an_empty_journal_is_none_and_is_removed(tmp_path):
    """A full disk takes the name of a file and nothing else."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folder = tracking.state_folder(uri, "a" * 32)
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").touch()
    assert tracking.undelivered(uri) == []
    with journal(uri, "a" * 32) as empty:
        assert empty.waiting == 0
    assert not folder.exists()
