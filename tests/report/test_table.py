"""The table of a comparison as files and as entries of the page."""

import csv
import io
import re

import pytest

from clep.answer import MEASURES
from clep.report.table import COLUMNS, as_csv, as_latex, as_markdown
from tests.oracles.stored import comparison, failed


@pytest.fixture(scope="module")
def found():
    return comparison(more=[failed("ewc", 0), failed("ewc", 1, error="OSError: disk full")])


def entry(found, label, name):
    return next(column for column in COLUMNS if column.name == name).of_cell(found.answer[label])


def test_csv_has_every_number_in_full_precision(found):
    lines = list(csv.DictReader(io.StringIO(as_csv(found.answer.cells))))
    assert [line["cell"] for line in lines] == [cell.label for cell in found.answer.cells]
    for line, cell in zip(lines, found.answer.cells, strict=True):
        for measure in MEASURES:
            mean = cell.summaries[measure.key].mean
            assert line[f"{measure.key}_mean"] == ("" if mean is None else repr(mean))
            difference = cell.differences.get(measure.key)
            assert line[f"{measure.key}_difference_verdict"] == (difference.verdict if difference else "")
    assert (lines[0]["seeds"], lines[0]["accuracy_n"]) == ("0 1 2", "3")
    assert lines[-1]["remark"] == "1 failed, 1 diverged"


def test_no_mean_stands_without_its_spread_its_interval_and_each_seed(found):
    cell = found.answer["sleep_replay"].summaries["accuracy"]
    told = entry(found, "sleep_replay", "accuracy")
    assert told.text == f"{cell.mean:.3f} ± {cell.sd:.3f}"
    assert told.details[0] == f"[{cell.low:.3f}, {cell.high:.3f}]"
    assert told.details[1] == " ".join(f"{value:.3f}" for value in cell.by_seed.values())
    assert entry(found, "sleep_replay", "n").details == ("0, 1, 2",)


def test_from_six_seeds_on_the_test_takes_the_place_of_each_seed():
    found = comparison(("naive", "ewc"), range(6))
    assert len(entry(found, "naive", "forgetting_since_training").details) == 1
    assert entry(found, "naive", "difference").details[-1].split()[-3:] == ["p", "=", "0.031"]  # 2 / 2^6


def test_a_difference_says_its_interval_and_its_verdict_and_the_baseline_has_none(found):
    difference = found.answer["naive"].differences["forgetting_since_training"]
    told = entry(found, "naive", "difference")
    assert told.text == f"{difference.mean:+.3f}"
    assert told.details[1].split()[:6] == ["shown", "with", "3", "seeds,", "d", "="]
    assert entry(found, found.answer.baseline, "difference").value is None
    accuracy = entry(found, "naive", "accuracy").details
    assert any(detail.startswith("difference \N{MINUS SIGN}0.") for detail in accuracy)
    assert any(detail.startswith("shown with 3 seeds") for detail in accuracy)


def test_latex_is_escaped_and_every_row_has_as_many_entries_as_the_tabular_has_columns():
    nasty = r"a_b & 50% #1 {x} ~ ^ \ $ <b>"
    text = as_latex(comparison((nasty, "naive"), (0, 1)).answer.cells)
    assert r"a\_b \& 50\% \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$ " in text
    assert r"\textless{}b\textgreater{}" in text
    assert text.isascii()
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {columns}
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1


def test_markdown_is_escaped(found):
    text = as_markdown(comparison(("a|b_c", "naive"), (0, 1)).answer.cells)
    assert r"a\|b\_c" in text
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()}) == 1
    assert "ewc (1 failed, 1 diverged)" in as_markdown(found.answer.cells)
