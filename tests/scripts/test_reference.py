"""The generated reference pages are complete: nothing that a user can set or read is missing from them."""

import inspect
import json
import re
from pathlib import Path

import pytest
import yaml

from clep import config, metrics, parts, registry
from clep.cli import COMMANDS
from clep.docstrings import meanings
from clep.schema import key_paths
from scripts import reference

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages():
    return reference.pages()


def test_every_key_of_a_configuration_is_on_the_page_of_keys(pages):
    named = set(re.findall(r"`([\w.]+)`", pages["reference/keys.md"]))
    assert set(key_paths()) <= named


def test_a_default_is_written_as_in_yaml():
    """What the page shows can be pasted into a configuration."""
    for value in (None, True, 0.5, 3, [], [3, 1], [["naive"], ["ewc", "sleep_replay"]], "shuffled"):
        assert yaml.safe_load(reference._yaml(value).strip("`")) == json.loads(json.dumps(value))


def test_every_parameter_of_every_strategy_is_on_the_page_of_strategies(pages):
    for name in registry.names():
        section = pages["reference/strategies.md"].partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in registry.parameters(registry.find(name)):
            assert f"| `{parameter}` |" in section


def test_every_parameter_of_our_own_strategies_has_a_meaning():
    """A parameter without a line in the docstring would have an empty cell."""
    for name in registry.names():
        cls = registry.find(name)
        if cls.__module__.startswith("clep."):
            assert set(registry.parameters(cls)) <= set(meanings(cls)), name


def test_a_meaning_is_read_from_either_form_of_docstring():
    class Google:
        """What it does.

        Args:
            rate: how much,
                at most 1.
            steps: how often.

        Other arguments:
            gate: which one.
        """

        def __init__(self, rate, steps, gate):
            pass

    class Sphinx:
        def __init__(self, mem_size):
            """
            :param mem_size: number of samples
                that are kept.
            """

    assert meanings(Google) == {"rate": "how much, at most 1.", "steps": "how often.", "gate": "which one."}
    assert meanings(Sphinx) == {"mem_size": "number of samples that are kept."}


def test_every_command_is_on_the_page_of_commands(pages):
    page = pages["reference/commands.md"]
    for command in (row.name for row in COMMANDS):
        assert f"\n## {command}\n" in page
        assert f"usage: clep {command}" in page


@pytest.mark.parametrize(("group", "page"), [("network", "networks"), ("pipeline", "configs"), ("claim", "configs")])
def test_every_name_that_is_shipped_is_on_its_page(pages, group, page):
    text = pages[f"reference/{page}.md"]
    assert all(re.search(rf"^(#+ {name}$|\| `{name}` )", text, re.MULTILINE) for name in config.builtin(group))


@pytest.mark.parametrize("kind", ["dataset", "stream"])
def test_every_data_set_and_every_scenario_is_on_the_page_of_streams(pages, kind):
    text = pages["reference/streams.md"]
    assert all(f"\n| `{name}` " in text for name in parts.names(kind))
    assert "## repetition" in text


def test_the_metrics_of_a_run_are_on_the_page_of_metrics(pages):
    page = pages["reference/metrics.md"]
    assert all(f"`{name}`" in page for name in ("accuracy/seen", "forgetting/average", "final/accuracy"))
    assert "::: clep.metrics" in page
    assert all(inspect.getdoc(f) for _, f in inspect.getmembers(metrics, inspect.isfunction))


def test_links_of_the_pages_at_the_top_are_seen_from_the_site(pages):
    for page in ("changelog.md", "contributing.md"):
        assert "](docs/" not in pages[page]


def test_every_part_of_a_network_is_on_the_page_of_networks(pages):
    for kind in ("neuron", "connection", "cost", "gradient"):
        section = pages["reference/networks.md"].partition(f"\n## {parts.plural(kind).capitalize()}\n")[2]
        named = re.findall(r"^\| `(\w+)` \| .*\w", section.partition("\n## ")[0], flags=re.MULTILINE)
        assert named == parts.own(kind)
