"""What pipelines return, as text and as JSON."""

import json
from dataclasses import replace

from clep import results
from clep.columns import COMPARISON, chosen
from clep.results import Comparison, Result

RUN = Result(
    run_id="abc",
    status="FINISHED",
    tracking_uri="sqlite:///mlflow.db",
    stream="digits",
    network="hts_ep",
    strategies=["awake_rehearsal", "sleep_replay"],
    seed=3,
    accuracy=0.745,
    forgetting_since_training=0.25,
    backward_transfer=-0.2,
    learned_in_training=0.931,
    accuracy_matrix=[[0.99, None], [0.5, 0.875]],
    seconds={"train": 1.25, "consolidation": 2.0, "eval": 0.5, "total": 3.75},
)
FAILED = Result("def", "FAILED", "", "digits", "hts_ep", ["naive"], 0, error="DivergenceError: boom")


def comparison(*runs):
    return Comparison("parent", "sqlite:///mlflow.db", list(runs), classes=10, seconds={"total": 2.9})


def test_a_result_is_written_with_its_numbers_and_its_matrix():
    assert RUN.to_text().splitlines() == [
        "strategies                 awake_rehearsal+sleep_replay",
        "seed                       3",
        "status                     FINISHED",
        "forgetting since training  0.250",
        "forgetting                 -",
        "accuracy                   0.745",
        "learned in training        0.931",
        "accuracy matrix            (row: trained up to this experience; column: tested on this one)",
        "                           0.990    -  ",
        "                           0.500  0.875",
        "seconds                    train 1.2, consolidation 2.0, eval 0.5, total 3.8",
    ]
    assert not RUN.failed
    assert FAILED.failed


def test_a_result_is_read_back_from_its_json_whatever_version_wrote_it():
    stored = json.loads(json.dumps(RUN.to_json()))
    assert Result.from_json(stored) == RUN
    del stored["accuracy_epochs"], stored["residual"]
    assert Result.from_json(stored | {"of_a_later_version": 1}) == RUN


def test_a_comparison_is_written_as_its_table_and_the_seconds_of_all_runs():
    """Phases are those of all runs, which work side by side; the total is that of the clock."""
    lines = comparison(RUN, FAILED, RUN).to_text().splitlines()
    assert " ".join(lines[:2]).startswith("awake_rehearsal+sleep_replay forgets least: 0.250, at a final accuracy of")
    head = next(line for line in lines if line.startswith("cell"))
    assert head.split() == ["cell", "forgetting", "Aval.", "accuracy", "learned", "kept", "n"]
    first = lines[lines.index(head) + 2].split()
    assert first[-6:] == ["0.250+-0.000", "-", "0.745+-0.000", "0.931", "-", "2"]
    assert "naive: 1 diverged." in lines
    assert lines[-1] == "seconds                    train 2.5, consolidation 4.0, eval 1.0, total 2.9"


def test_a_comparison_says_which_runs_failed_and_why():
    assert comparison(RUN, FAILED).failures == ["naive, seed 0: FAILED: DivergenceError: boom"]
    assert comparison(RUN, FAILED).failed
    assert not comparison(RUN).failed


def test_the_json_of_a_comparison_has_its_columns_with_their_deviations():
    row = comparison(RUN, FAILED, RUN).to_json()["table"][0]
    assert row == {
        "label": "awake_rehearsal+sleep_replay",
        "strategies": ["awake_rehearsal", "sleep_replay"],
        "network": "hts_ep",
        "stream": "digits",
        "status": "FINISHED",
        "forgetting_since_training": {"mean": 0.25, "std": 0.0, "n": 2},
        "forgetting": {"mean": None, "std": None, "n": 0},
        "accuracy": {"mean": 0.745, "std": 0.0, "n": 2},
        "learned_in_training": {"mean": 0.931, "std": 0.0, "n": 2},
        "bytes": None,
        "updates": {"mean": None, "std": None, "n": 0},
        "backward_transfer": {"mean": -0.2, "std": 0.0, "n": 2},
        "learned_accuracy": {"mean": None, "std": None, "n": 0},
    }


def test_a_column_added_to_the_comparison_appears_in_json_and_in_the_text_of_a_run(monkeypatch):
    added = (*COMPARISON, *chosen(["worst", "residual"]))
    monkeypatch.setattr(results, "COMPARISON", added)
    (row,) = comparison(replace(RUN, residual=0.01)).table
    assert (row["worst"], row["residual"]) == (0.745, 0.01)
    assert "residual                   1.0e-02" in replace(RUN, residual=0.01).to_text().splitlines()


def test_the_columns_of_a_comparison_can_be_chosen():
    lines = replace(comparison(RUN, FAILED), columns=chosen(["worst", "diverged"])).to_text().splitlines()
    assert any(line.endswith("worst seed  diverged runs") for line in lines)
    assert next(line for line in lines if line.startswith("naive ")).split()[-2:] == ["0.000", "1"]


def test_a_comparison_is_a_data_frame_with_a_line_for_each_run():
    frame = comparison(replace(RUN, cell="mine"), FAILED).to_frame()
    assert list(frame["label"]) == ["mine", "naive"]
    assert list(frame["strategies"]) == ["awake_rehearsal+sleep_replay", "naive"]
    assert frame.groupby("label")["accuracy"].mean()["mine"] == 0.745
    assert frame["seconds.train"][0] == 1.25
    assert frame["accuracy"].isna().tolist() == [False, True]
    assert frame["diverged"].tolist() == [False, True]


def test_a_run_is_a_data_frame_with_a_line_for_each_pair_of_experiences():
    before = [[1.0, None], [0.75, 0.9]]
    frame = replace(RUN, accuracy_before_consolidation=before).to_frame()
    assert frame[["trained", "tested"]].values.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert frame["after"].fillna(-1).tolist() == [0.99, -1, 0.5, 0.875]
    assert frame["before"].fillna(-1).tolist() == [1.0, -1, 0.75, 0.9]
    assert frame["seed"].unique().tolist() == [3]
    assert RUN.to_frame()["before"].isna().all()
    assert FAILED.to_frame().empty


def test_a_run_says_why_numbers_were_not_measured():
    text = replace(RUN, unmeasured="forward transfer: why").to_text()
    assert "not measured               forward transfer: why" in text
    assert "not measured" not in RUN.to_text()


def test_a_notebook_shows_the_answer_and_the_table_and_nothing_that_a_label_holds_is_markup():
    shown = comparison(replace(RUN, cell="<script>x</script> & co"), FAILED)._repr_html_()
    assert "<script>" not in shown
    assert "<td>&lt;script&gt;x&lt;/script&gt; &amp; co</td>" in shown
    assert shown.count("<tr>") == 3
    assert "<strong>" in shown
    single = replace(RUN, cell="<b>")._repr_html_()
    assert "<td>&lt;b&gt;</td>" in single
    assert "<td>0.875</td>" in single
    assert "<b>" not in single
