"""Places that cannot be written are refused before the work; streams that cannot show a text get a plain one."""

import os
import subprocess
import sys

import pytest

from clep import cli
from clep.destinations import check_file, check_folder
from clep.errors import ConfigError

CODE = "import sys; from clep.cli import main; sys.argv[0] = 'clep'; sys.exit(main())"


def clep(words, redirected="", **variables):
    """A command in a shell, which can close streams."""
    line = f'{sys.executable} -c "{CODE}" {words} {redirected}'
    return subprocess.run(line, shell=True, capture_output=True, text=True, env=os.environ | variables, check=False)


@pytest.mark.parametrize("words", ["tune strategies=si", "reproduce sleep_mnist", "report"])
@pytest.mark.parametrize("output", ["/dev/null/x/y.yaml", "file/x.yaml"])
def test_an_output_below_a_file_is_refused_before_anything_is_loaded(words, output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert cli.main([*words.split(), "--output", output]) == 2
    assert capsys.readouterr().err.startswith("clep: error: --output: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_output_in_a_folder_that_is_not_there_or_is_a_folder_is_refused_for_a_file(tmp_path, capsys):
    assert cli.main(["tune", "strategies=si", "--output", str(tmp_path / "absent" / "x.yaml")]) == 2
    assert f"there is no folder `{tmp_path}/absent`" in capsys.readouterr().err
    assert cli.main(["tune", "strategies=si", "--output", str(tmp_path)]) == 2
    assert "is a folder; give the path of a file" in capsys.readouterr().err


def test_places_that_can_be_written_are_accepted_and_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.yaml").write_text("")
    for path in ("new", "new/er", ".", tmp_path / "a" / "b"):
        check_folder("--output", path)
    for path in ("new.yaml", "there.yaml", tmp_path / "new.yaml", "/dev/null"):
        check_file("--output", path)
    assert [path.name for path in tmp_path.iterdir()] == ["there.yaml"]


def test_what_may_not_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ConfigError, match=r"^--output: `.*` cannot be written to"):
        check_folder("--output", tmp_path)
    with pytest.raises(ConfigError, match=r"^--output: `.*` cannot be written to"):
        check_file("--output", tmp_path / "new.yaml")


def test_a_closed_stdout_is_refused_and_a_closed_stderr_harms_nothing():
    done = clep("list claims", ">&-")
    assert (done.returncode, done.stderr) == (
        2,
        "clep: error: stdout: it is closed, and the result could not be printed; send it to a file or /dev/null\n",
    )
    whole, alone = clep("list claims"), clep("list claims", "2>&-")
    assert (alone.returncode, alone.stdout) == (0, whole.stdout)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is Linux's")
def test_a_full_disk_behind_stdout_is_one_line():
    done = clep("list claims", "> /dev/full")
    assert (done.returncode, done.stderr) == (
        1,
        "clep: error: stdout: the result could not be printed: No space left on device\n",
    )


def test_a_terminal_that_knows_only_ascii_gets_plain_characters():
    code = "from clep import destinations; destinations.ready_streams(); print('1 \\xb1 2 \\xd7 3 \\xe9 \\udcff \\x07')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1 +- 2 x 3 ? \\udcff \x07\n", b"")
