"""What `pip` calls clep, and what is said where it is not installed under that name."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import clep
from clep import distribution

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_name_and_the_version_are_those_of_the_project():
    assert PROJECT["name"] == distribution.NAME
    assert distribution.version() == clep.__version__ == PROJECT["version"]


def test_the_citation_names_the_version_and_the_licence_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_every_extra_that_a_message_or_a_page_names_exists():
    """An unknown extra is only a warning to pip: the package would be missing as before."""
    folders = "clep", "docs", "scripts", "strategies", "tests"
    files = [ROOT / "README.md", *(path for folder in folders for path in (ROOT / folder).rglob("*.*"))]
    texts = [path.read_text() for path in files if path.suffix in (".md", ".py")]
    named = {extra for text in texts for extra in re.findall(r"(?:clep-lab|NAME\})\[(\w+)\]", text)}
    assert {"gem", "fuzz"} <= named <= PROJECT["optional-dependencies"].keys()
    assert [text for text in texts if "clep" + "[gem]" in text] == []


def test_source_that_is_not_installed_says_what_to_install(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(ImportError, match=r"^clep: .* clep-lab is not installed; run `pip install clep-lab`, or "):
        distribution.version()


def test_python_m_clep_is_the_command():
    done = subprocess.run([sys.executable, "-m", "clep", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"clep {clep.__version__}\n"
