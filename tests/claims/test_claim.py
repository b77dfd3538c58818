"""Claims: what their files may say, and what a table says about the numbers."""

import math
import os

import pytest

from clep import claims, config
from clep.errors import ConfigError
from clep.results import Result

TEXT = """
claim: Sleep restores.
config: class_incremental
set: [learner.epochs=1]
small: [stream.samples_per_experience=20]
seeds: [0, 1, 2]
cells:
  naive: {set: [strategies=naive]}
  sleep: {set: [strategies=sleep_replay], published: 0.5, source: Somebody 2020, at_least: 0.7}
  kmnist: {set: [stream=kmnist], note: not run}
compare: [[sleep, naive]]
"""


def claim(tmp_path, text=TEXT):
    path = tmp_path / "restore.yaml"
    path.write_text(text)
    return claims.read(path, path.name)


def result(seed, accuracy, status="FINISHED"):
    return Result(
        run_id="abc",
        status=status,
        tracking_uri="",
        stream="digits",
        network="ep",
        strategies=["naive"],
        seed=seed,
        accuracy=accuracy,
        forgetting=0.1,
        learned_accuracy=0.9,
        memory={"exemplars": 2, "exemplar_bytes": 100, "statistics_bytes": 23},
        seconds={"total": 4.0},
    )


def table(claim, results, measured=""):
    """The rows as JSON, and the Markdown."""
    runs = {label: [result.to_json() for result in of_cell] for label, of_cell in results.items()}
    rows = claims.rows_of(claim, runs)
    return [claims.as_json(row, claim.columns) for row in rows], claims.as_markdown(claim, rows, measured)


def test_a_claim_is_read_with_its_cells_and_comparisons(tmp_path):
    read = claim(tmp_path)
    assert (read.name, read.seeds, read.compare) == ("restore", (0, 1, 2), (("sleep", "naive"),))
    assert [cell.label for cell in read.cells] == ["naive", "sleep", "kmnist"]
    assert read.cells[1] == claims.Cell("sleep", ("strategies=sleep_replay",), "", 0.5, "Somebody 2020", 0.7)


@pytest.mark.parametrize(("written", "added"), [("none", []), ("[]", []), ("joint", ["joint"]), ("[joint]", ["joint"])])
def test_controls_are_written_as_a_comparison_takes_them(written, added, tmp_path):
    labels = [cell.label for cell in claim(tmp_path, f"{TEXT}controls: {written}\n").cells]
    assert labels == ["naive", "sleep", "kmnist", *added]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds:", "seed:", r"^restore\.yaml: seed: unknown key `seed`; did you mean `seeds`"),
        (
            "published",
            "publishd",
            r"^restore\.yaml: cells\.sleep\.publishd: unknown key `publishd`; did you mean `published`",
        ),
        ("[[sleep, naive]]", "[[sleep, naif]]", r"restore\.yaml: compare: unknown cell `naif`; did you mean `naive`"),
        ("cells:", "cells: [", r"restore\.yaml, line \d+: cannot be read as YAML"),
        ("[[sleep, naive]]", "[[sleep, naive, sleep]]", r"restore\.yaml: compare: expected pairs of cells"),
        ("seeds: [0, 1, 2]", "seeds: 3", r"restore\.yaml: seeds: expected a list of integers, got 3"),
        ("{set: [strategies=naive]}", "{set: strategies=naive}", r"cells\.naive\.set: expected a list of strings"),
        ("published: 0.5", "published: half", r"cells\.sleep\.published: expected a number or null, got 'half'"),
        ("{set: [strategies=naive]}", "strategies=naive", r"cells\.naive: expected keys and their values"),
        (
            "compare: [[sleep, naive]]",
            "columns: [wurst]",
            r"yaml: columns: unknown column `wurst`; did you mean `worst`",
        ),
        ("note: not run", "seeds: [7]", r"cells\.kmnist\.seeds: expected some of the claim's seeds, got \[7\]"),
        (TEXT, "claim: nothing", r"restore\.yaml: expected a claim with"),
    ],
)
def test_a_file_that_is_no_claim_is_refused_with_what_is_wrong(old, new, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        claim(tmp_path, TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [0, 1, 2]", "seeds: [0, 0]", r"yaml: seeds: expected each entry once, got `0` 2 times"),
        ("seeds: [0, 1, 2]", "seeds: []", r"yaml: seeds: expected at least one entry"),
        ("seeds: [0, 1, 2]", "seeds: [0, -1]", r"yaml: seeds: expected a list of integers of at least 0"),
        (
            "seeds: [0, 1, 2]",
            "seeds: [0, 010]",
            r"yaml: seeds\[1\]: YAML reads `010` as the number 8; write 8, or '010'",
        ),
        ("cells:", "cells:\n  sleep: {}", r"yaml, line 10: cannot be read as YAML: found duplicate key sleep$"),
        (
            "cells:",
            "cells:\n  1: {}\n  '1': {}",
            r"yaml: cannot be read as YAML: Conflicting integer and string keys: 1",
        ),
        ("published: 0.5", "published: 50", r"yaml: cells\.sleep\.published: expected a number in \[0, 1\] or null"),
        ("published: 0.5", "published: .inf", r"yaml: cells\.sleep\.published: expected a number or null, finite"),
        ("note: not run", "seeds: [1, 1]", r"yaml: cells\.kmnist\.seeds: expected each entry once"),
        ("[strategies=naive]", "[seed=3]", r"yaml: cells\.naive\.set: `seed=3` would change nothing .* use `seeds`"),
        ("[strategies=naive]", "[naive]", r"yaml: cells\.naive\.set: expected key=value, got `naive`"),
        ("[[sleep, naive]]", "[[sleep, sleep]]", r"yaml: compare: expected two different cells, got `sleep` twice"),
        ("[[sleep, naive]]", "[[sleep, naive], [sleep, naive]]", r"yaml: compare: expected each entry once"),
        (
            "small: [stream.samples_per_experience=20]",
            "small: ['seeds=[1]']",
            r"yaml: small: `seeds=\[1\]` would change nothing",
        ),
        ("cells:", "cells: " + "[" * 5000, r"yaml.*: cannot be read as YAML"),
    ],
)
def test_what_would_show_only_in_the_table_is_refused_before_any_training(old, new, message, tmp_path):
    assert old in TEXT
    with pytest.raises(ConfigError, match=message):
        claim(tmp_path, TEXT.replace(old, new))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"claim: \x00"])
def test_a_claim_that_is_no_text_is_refused(content, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^mine\.yaml.*: cannot be read as YAML"):
        claims.read(tmp_path / "mine.yaml", "mine.yaml")


def test_a_claim_in_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(ConfigError, match=r"mine\.yaml: is no file"):
        claims.read(tmp_path / "mine.yaml", "mine.yaml")


def test_differences_are_paired_by_seed_with_the_t_interval_of_the_textbook(tmp_path):
    """Differences 0.1, 0.2, 0.3: mean 0.2, std 0.1, t(0.975, 2) = 4.3027: half width 0.2484. Seeds in another order, or
    missing in one cell, must not pair a seed with another one."""
    accuracies = {"sleep": {2: 0.8, 0: 0.3, 1: 0.5, 7: 0.0}, "naive": {0: 0.2, 1: 0.3, 2: 0.5}}
    (verdict,) = claims.judge(claim(tmp_path), accuracies)
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert verdict.difference == pytest.approx(0.2)
    assert verdict.interval == pytest.approx((0.2 - half, 0.2 + half), abs=1e-6)
    assert verdict.words.endswith("higher in 3 of 3 seeds: no difference shown")


@pytest.mark.parametrize(
    ("sleep", "words"),
    [
        ({0: 0.7, 1: 0.71, 2: 0.72}, "higher in 3 of 3 seeds: above"),
        ({0: 0.1, 1: 0.11, 2: 0.12}, "higher in 0 of 3 seeds: below"),
        ({1: 0.7}, "(one seed)"),
        ({}, "not run"),
    ],
)
def test_the_words_follow_the_interval(sleep, words, tmp_path):
    (verdict,) = claims.judge(claim(tmp_path), {"sleep": sleep, "naive": {0: 0.2, 1: 0.21, 2: 0.22}})
    assert verdict.words.endswith(words)


def test_the_table_shows_every_seed_what_failed_and_what_was_promised(tmp_path):
    results = {
        "naive": [result(0, 0.2), result(1, 0.3)],
        "sleep": [result(0, 0.6), result(1, 0.7), result(2, None, "FAILED")],
    }
    rows, text = table(claim(tmp_path), results, "Measured by hand.")
    assert rows[1]["mean"] == pytest.approx(0.65)
    assert rows[1]["std"] == pytest.approx(0.1 / math.sqrt(2))
    lines = text.splitlines()
    head = "| sleep (1 failed) | 0.650 ± 0.071 | 0.600 0.700 | 0.100 | 0.900 | 0.500 (Somebody 2020) | 123 | 4 |"
    assert head in lines
    assert "| kmnist | - | not run | - | - | - | - | - |" in lines
    assert "- sleep: promised at least 0.700, measured 0.650: **not reached**" in lines
    assert text.rstrip().endswith("Measured by hand.")


GRID = """
columns: [worst, diverged]
grid:
  time step: {scalar: [network=ep], lognormal: [network=hts_ep]}
  learner.lr: [0.1, 1.0]
"""
ALONE = TEXT[: TEXT.index("cells:")] + GRID + "compare: [[lognormal, scalar]]"


def test_a_grid_makes_cells_beside_those_that_are_written_out(tmp_path):
    read = claim(tmp_path, TEXT + GRID)
    assert [cell.label for cell in read.cells[3:]] == ["scalar, 0.1", "scalar, 1.0", "lognormal, 0.1", "lognormal, 1.0"]
    assert read.cells[-1].set == ("network=hts_ep", "learner.lr=1.0")
    rows, text = table(read, {"sleep": [result(0, 0.6)]}, "")
    assert rows[1]["columns"] == {"worst": 0.6, "diverged": 0.0}
    head = "| sleep | 0.600 | 0.600 | 0.100 | 0.900 | 0.500 (Somebody 2020) | 123 | 4 | 0.600 | 0 |"
    assert head in text.splitlines()
    assert "| scalar | 0.1 | not run | - | - | - |" in text.splitlines()
    assert "- kmnist: not run" in text.splitlines()


def test_a_grid_alone_compares_alternatives_of_one_of_its_axes(tmp_path):
    read = claim(tmp_path, ALONE)
    results = {
        f"{dt}, {lr}": [result(0, a)] for dt, a in (("scalar", 0.5), ("lognormal", 0.6)) for lr in ("0.1", "1.0")
    }
    _, text = table(read, results, "")
    assert "| lognormal against scalar | 2 | +0.1000 | 0.600 / 0.500, better 2, worse 0 |" in text
    assert not claims.judge(read, {})
    with pytest.raises(ConfigError, match=r"compare: unknown cell `lognormals`; did you mean `lognormal`"):
        claim(tmp_path, ALONE.replace("[[lognormal,", "[[lognormals,"))


def test_a_comparison_stands_where_its_alternatives_are_cells_and_nowhere_else(tmp_path):
    """Both alternatives name conditions, whose tables have one of them each."""
    conditions = "grid:\n  stream: [mnist, digits]\n  network: [ep]\n  learner.lr: [0.1, 1.0]\n"
    text = ALONE[: ALONE.index("grid:")] + conditions + "compare: [[mnist, digits]]"
    results = {f"{stream}, ep, {lr}": [result(0, 0.5)] for stream in ("mnist", "digits") for lr in ("0.1", "1.0")}
    _, text = table(claim(tmp_path, text), results)
    assert text.count("first against second") == text.count("| mnist against digits | 2 |") == 1


def test_a_comparison_that_means_two_axes_is_refused(tmp_path):
    text = ALONE.replace("time step: {scalar: [network=ep], lognormal: [network=hts_ep]}", "learner.beta: [0.1, 1.0]")
    text = text.replace("[[lognormal, scalar]]", "[[0.1, 1.0]]")
    with pytest.raises(ConfigError, match=r"`0\.1` and `1\.0` are alternatives of both learner\.beta and learner\.lr"):
        claim(tmp_path, text)


@pytest.mark.parametrize("name", config.builtin("claim"))
def test_every_built_in_claim_composes(name):
    """A misspelt key in one of many cells would show after hours."""
    read = claims.read(config.find("claim", name), name)
    cells = list(read.composed())
    assert [cell for cell, _ in cells] == [cell for cell in read.cells if not cell.note]
    next(read.composed(small=True))  # its changes are those of every cell
    assert read.claim
