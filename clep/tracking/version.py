"""The version of the running code."""

import subprocess
from functools import cache
from pathlib import Path

from clep import distribution


def provenance() -> dict[str, str]:
    """Tags for the running code: `version`, and in a git checkout of clep `git_commit` (`-dirty` if changed)."""
    tags = {"version": distribution.version()}
    git = ["git", "-C", str(Path(__file__).parent)]
    try:  # the first command fails in a repository that merely surrounds an installed clep
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        tags["git_commit"] = subprocess.run(describe, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pass
    return tags


@cache
def provenance_once() -> dict[str, str]:
    """The same, looked up once for this process and all that are forked from it: they run what it has imported."""
    return provenance()
