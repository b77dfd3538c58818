"""Which code runs."""

import subprocess
from importlib import metadata

from clep.tracking import provenance, version


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_provenance_names_the_commit_of_clep_and_not_of_a_repository_around_it(tmp_path, monkeypatch):
    copy = tmp_path / "clep" / "version.py"
    copy.parent.mkdir()
    copy.write_text("")
    monkeypatch.setattr(version, "__file__", str(copy))
    assert provenance() == {"version": metadata.version("clep-lab")}
    (tmp_path / "other.txt").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", "other.txt")
    git(tmp_path, "commit", "-m", "a repository around it")
    assert "git_commit" not in provenance()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "clep")
    assert provenance()["git_commit"] == git(tmp_path, "rev-parse", "HEAD")
    copy.write_text("changed = True")
    assert provenance()["git_commit"] == git(tmp_path, "rev-parse", "HEAD") + "-dirty"


def test_provenance_needs_no_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance() == {"version": metadata.version("clep-lab")}
