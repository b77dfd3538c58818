"""The table of a claim: its rows, their comparisons, and both as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from clep.claims.claim import Cell, Claim
from clep.claims.grid_tables import accuracy_text, grid_lines
from clep.claims.grids import axis_of
from clep.claims.stability import COLUMNS
from clep.claims.verdicts import Verdict, verdict
from clep.metrics import mean_std


def judge(claim: Claim, accuracies: Mapping[str, Mapping[int, float]]) -> list[Verdict]:
    """The comparisons of a claim's cells; those of a grid's alternatives are part of its tables.

    Args:
        claim: with its comparisons.
        accuracies: label -> seed -> final accuracy.
    """
    pairs = [pair for pair in claim.compare if axis_of(claim.grid, pair) is None]
    return [verdict(a, b, accuracies.get(a, {}), accuracies.get(b, {})) for a, b in pairs]


def summarise(
    claim: Claim, results: Mapping[str, Sequence[Mapping[str, Any]]], measured: str
) -> tuple[list[dict[str, Any]], str]:
    """The rows of a claim's table, and the table with its verdicts as Markdown.

    Args:
        claim: the claim.
        results: label -> the `Result`s of its seeds as mappings.
        measured: how the numbers were made: command, commit, data.
    """
    rows = [_row(cell, results.get(cell.label, ()), claim.columns) for cell in claim.cells]
    accuracies = {row["label"]: row["by_seed"] for row in rows}
    promises = [
        f"{cell.label}: promised at least {cell.at_least:.3f}, measured {row['mean']:.3f}: "
        + ("reached" if row["mean"] >= cell.at_least else "**not reached**")
        for cell, row in zip(claim.cells, rows, strict=True)
        if cell.at_least is not None and row["mean"] is not None
    ]
    left_out = [row for row, cell in zip(rows, claim.cells, strict=True) if claim.grid and cell.note]
    lines = [
        f"# {claim.name}",
        "",
        claim.claim,
        "",
        *_table([row for row in rows if not row["at"] and row not in left_out], claim.columns),
        *(f"- {row['label']}: {row['remark']}\n" for row in left_out),
        *(grid_lines(claim.grid, rows, claim.columns, claim.compare) if claim.grid else ()),
        *(f"- {found.words}" for found in judge(claim, accuracies)),
        *(f"- {promise}" for promise in promises),
        "",
        "Final accuracy over all classes, mean ± standard deviation over seeds; differences are paired by seed, with "
        f"their 95 % t interval. {measured}",
        "",
    ]
    return rows, "\n".join(lines)


def _row(cell: Cell, results: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    done = [result for result in results if result["status"] == "FINISHED" and result["accuracy"] is not None]
    diverged = sum(bool(result.get("diverged")) for result in results)
    failed = len(results) - len(done) - diverged
    counted = [f"{n} {what}" for n, what in ((failed, "failed"), (diverged, "diverged")) if n]
    memory = done[0].get("memory") or {} if done else {}
    return {
        "label": cell.label,
        "by_seed": {result["seed"]: result["accuracy"] for result in done},
        **mean_std(r["accuracy"] for r in done),
        "forgetting": mean_std(r["forgetting"] for r in done)["mean"],
        "learned_accuracy": mean_std(r["learned_accuracy"] for r in done)["mean"],
        "seconds": mean_std(r["seconds"]["total"] for r in done)["mean"],
        "published": cell.published,
        "source": cell.source,
        "bytes": memory.get("exemplar_bytes", 0) + memory.get("statistics_bytes", 0) if done else None,
        "remark": cell.note or ", ".join(counted) or ("" if done else "not run"),
        "at": list(cell.at),
        "columns": {name: COLUMNS[name].of_cell(results) for name in columns},
        "runs": [
            {"seed": result["seed"], "accuracy": result["accuracy"]}
            | {name: of_run(result) for name in columns if (of_run := COLUMNS[name].of_run)}
            for result in (results if columns else done)
        ],
    }


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    if not rows:
        return []
    titles = ["cell", "accuracy", "each seed", "forgetting", "learned", "published", "bytes of the past", "seconds"]
    titles += [COLUMNS[name].title for name in columns]
    return [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *(_markdown(row) for row in rows), ""]


def _markdown(row: Mapping[str, Any]) -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    accuracy = "-" if row["mean"] is None else accuracy_text(row)
    seeds = " ".join(number(value) for value in row["by_seed"].values()) or row["remark"]
    published = number(row["published"]) + (f" ({row['source']})" if row["source"] else "")
    kept = "-" if row["bytes"] is None else f"{row['bytes']:,}".replace(",", " ")
    label = f"{row['label']} ({row['remark']})" if row["remark"] and row["by_seed"] else row["label"]
    seconds = "-" if row["seconds"] is None else f"{row['seconds']:.0f}"
    others = [number(row["forgetting"]), number(row["learned_accuracy"]), published, kept, seconds]
    columns = ["-" if value is None else format(value, COLUMNS[name].text) for name, value in row["columns"].items()]
    cells = [label, accuracy, seeds, *others, *columns]
    return f"| {' | '.join(cells)} |"
