"""The readers under bytes that are changed where the change leads to new code; see `scripts/fuzz_readers.py`."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz_readers.py"


@pytest.mark.parametrize("reader", ["npz", "idx", "cifar", "folder"])
def test_any_bytes_are_read_or_refused(reader, tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed: pip install 'clep-lab[fuzz]', on Linux")
    words = [sys.executable, str(SCRIPT), reader, "--seconds", "30"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
