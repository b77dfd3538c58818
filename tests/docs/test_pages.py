"""The pages do what they say: commands compose, Python runs, links and file names lead somewhere."""

import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

import clep.equilibrium
from clep import build, config, parts, registry, renames, scaffold
from clep.bench import cases
from clep.claims.claim import read as read_claim
from clep.cli import main, parse
from clep.config import cells_of, compose, to_dict
from clep.tracking import flatten
from tests.oracles.stores import empty_store

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
}
LISTS = {"strategies", "datasets", "streams", "networks", "configs", "claims"}


def blocks(page, language):
    """The code blocks of a page, without the indentation of a list that they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


COMMANDS = [
    (page, shlex.split(line.partition(" > ")[0], comments=True))
    for page in PAGES
    for block in blocks(page, "bash")
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("clep ")
]
SNIPPETS = [page for page in PAGES if page not in ("README.md", "docs/features.md") and blocks(page, "python")]


@pytest.mark.parametrize("command", sorted({tuple(command) for _, command in COMMANDS}), ids=" ".join)
def test_every_clep_command_of_the_pages_is_accepted(command):
    """Options are known; what composes a configuration composes, and its strategies can be made; names exist."""
    _, name, *words = command
    items = getattr(parse([name, *words]), "items", words)
    values = [word for word in items if "=" in word]
    plain = [word for word in items if "=" not in word and not word.startswith("--") and not word.endswith(".yaml")]
    if words[:1] == ["strategy"] and name == "show":
        assert registry.find(words[1])
    elif name == "new":
        assert plain[0] in scaffold.KINDS
    elif name == "check":
        assert {word for word in plain if "." not in word} <= set(parts.names("strategy"))
    elif name in ("run", "compare", "show", "tune", "steps"):
        composed = compose(plain[0] if plain else None, values)
        if "weight_averaging:" not in " ".join(words):  # another test saves that module and runs it
            for cell in [c for _, c in cells_of(composed)] if name == "compare" else [composed]:
                build.build_strategies(build.resolved(cell))
    elif name == "reproduce":
        assert set(plain) - {"results"} <= set(config.builtin("claim"))
    elif name == "list":
        assert set(plain) <= LISTS
    elif name not in ("report", "ui", "resume", "fork", "sync"):  # whose words are ids of runs
        assert name == "bench"
        assert set(plain) <= set(cases.every())


def test_every_make_target_of_the_pages_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {target for text in PAGES.values() for target in re.findall(r"`make ([a-z-]+)`", text)}
    typed = {t for page in PAGES for t in re.findall(r"^make ([a-z-]+)", "".join(blocks(page, "bash")), re.MULTILINE)}
    assert named | typed <= targets


@pytest.mark.parametrize("page", SNIPPETS)
def test_the_python_of_a_page_runs_as_written(page, tmp_path):
    """In one folder, from top to bottom: a later block may read what an earlier one wrote. Each is a program of its own
    but for what is imported already, which takes longer than most of them."""
    for code in blocks(page, "python"):
        (tmp_path / "block.py").write_text(code)
        runpy.run_path("block.py", run_name="__main__")


def test_the_strategy_of_the_readme_trains_as_written(tmp_path, monkeypatch, capfd):
    """Saved under the name the README gives and run by the command the README shows, with a smaller learner."""
    code = re.search(r"<!-- strategy:begin -->\n```python\n(.*?)```", PAGES["README.md"], flags=re.DOTALL).group(1)
    (tmp_path / "weight_averaging.py").write_text(code)
    (command,) = [c for page, c in COMMANDS if page == "README.md" and c[1] == "run" and "weight_averaging" in c[2]]
    small = ["stream.samples_per_experience=64", "learner.epochs=2", "network.hidden=[32]", "--json"]
    monkeypatch.syspath_prepend(tmp_path)
    empty_store(tmp_path)
    assert main([*command[1:], *small]) == 0
    assert '"strategies": ["weight_averaging:WeightAveraging"]' in capfd.readouterr().out


def test_every_key_and_class_of_the_table_of_learning_rules_exists():
    """The only table of options that is written by hand."""
    text = PAGES["docs/guides/learning-rules.md"]
    keys = re.findall(r"^\| `((?:network|learner)\.[a-z_.]+)`", text, flags=re.MULTILINE)
    assert len(keys) > 10
    assert set(keys) <= set(flatten(to_dict(compose())))
    classes = re.findall(r"`([A-Z]\w+)`", text)
    assert all(hasattr(clep.equilibrium, name) for name in classes)


def test_every_link_of_the_pages_at_the_top_leads_to_a_file():
    """The site's builder checks all other links."""
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", PAGES[page]):
            assert (ROOT / target).exists(), f"{page}: {target}"


def test_every_file_of_where_things_are_exists():
    named = re.findall(
        r"`((?:clep|configs|pipelines|scripts|strategies|tests|docs)/[\w/.]*)`", PAGES["CONTRIBUTING.md"]
    )
    assert len(named) > 20
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []


def test_the_numbers_of_make_run_stand_in_one_place():
    """They are promised to the digit, so a second copy would be a second promise."""
    row = re.search(r"^awake_rehearsal  .*$", PAGES["README.md"], flags=re.MULTILINE).group()
    assert [page for page, text in PAGES.items() if row in text] == ["README.md"]


def test_every_test_that_the_promises_name_exists_and_is_slow_where_it_says_so():
    """The marker stands above the test, or for its whole file."""
    found = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        whole = re.search(r"^pytestmark = (\[[^\]]*|.*)mark\.slow", text, flags=re.MULTILINE) is not None
        for above, name in re.findall(r"((?:^@.*\n(?:^[ )\]].*\n)*)*)^def (test_\w+)", text, flags=re.MULTILINE):
            found[name] = whole or "mark.slow" in above
    cells = re.findall(r"^\|.*\| (.*) \|$", PAGES["docs/promises.md"], flags=re.MULTILINE)
    named = {
        name: slow
        for cell in cells
        for slow, part in zip((False, True), f"{cell}*slow*".split("*slow*"), strict=False)
        for name in re.findall(r"`(test_\w+)`", part)
    }
    assert len(named) > 30
    assert {name: found.get(name) for name in named} == named


def test_the_changelog_names_everything_that_was_renamed():
    """Old modules and names work for one version, so users must find what to write instead."""
    section = PAGES["CHANGELOG.md"].partition("### Renamed")[2].partition("\n### ")[0]
    assert [old for old in renames.MODULES if f"`{old}`" not in section] == []
    assert [name for name in (f"{module}.{old}" for module, old in renames.NAMES) if f"`{name}`" not in section] == []


def test_every_claim_and_comparison_of_the_pages_can_be_run(tmp_path):
    for text in [block for page in PAGES for block in blocks(page, "yaml")]:
        (path := tmp_path / "mine.yaml").write_text(text)
        if text.startswith("# my.yaml"):
            assert len(cells_of(compose(path))) > 1
            continue
        claim = read_claim(path, str(path))
        assert len(list(claim.composed())) == len(list(claim.composed(small=True))) > 1


def test_the_entry_points_of_the_pages_are_those_that_clep_reads():
    for text in [block for page in PAGES for block in blocks(page, "toml")]:
        groups = tomllib.loads(text)["project"]["entry-points"].keys()
        assert groups <= {kind.group for kind in parts.KINDS.values()}


@pytest.mark.parametrize("page", ["networks", "neurons-costs-gradients", "datasets", "streams"])
def test_the_parts_of_a_page_train_by_the_commands_that_it_gives(page, tmp_path, monkeypatch):
    page = f"docs/extend/{page}.md"
    (module,) = re.findall(r"Save this as `(\w+).py`", PAGES[page])
    (tmp_path / f"{module}.py").write_text(blocks(page, "python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, module, raising=False)
    small = ["stream.samples_per_experience=32", "learner.epochs=1"]
    commands = [shlex.split(line) for line in re.findall(r"`clep run (.*?)`", PAGES[page])]
    assert commands
    for words in commands:
        config = build.resolved(compose(None, [*small, *words]))
        stream = build.build_stream(config)
        matrix = build.build_training(config, stream).run(stream).matrix
        assert matrix.shape == (config.stream.experiences, config.stream.experiences)
    del sys.modules[module]
