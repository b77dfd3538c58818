"""The pages in a real browser: nothing fails, nothing leaves its place, and the table sorts."""

import pytest

from clep import report
from tests.oracles.stored import comparison, failed, result
from tests.report.test_pages import ABOUT, page_of

LONG = "a_strategy_set_with_a_name_that_does_not_end+sleep_replay+<b>tau</b>=0.25"

# Everything visible whose right edge lies beyond the window; what scrolls in a box of its own may.
BEYOND = """() => [...document.querySelectorAll("body *")].filter(e =>
    !e.closest(".scroll, .matrix") && e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1
).map(e => e.outerHTML.slice(0, 80))"""
# Pairs of texts of a figure that cover each other by more than a hair.
COVERED = """() => [...document.querySelectorAll("figure svg")].flatMap(svg => {
    const boxes = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
    return boxes.flatMap(([a, p], i) => boxes.slice(0, i).filter(([b, q]) =>
        Math.min(p.right, q.right) - Math.max(p.left, q.left) > 3 &&
        Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 5).map(([b]) => [svg.closest("figure").id, a, b]));
})"""


def many(n, seeds):
    return comparison([f"cell {k}" if k % 2 else f"{LONG}{k}" for k in range(n)], seeds)


CASES = {
    "2 cells, 1 seed": lambda: comparison(("naive", "sleep_replay"), (0,)),
    "7 cells, 3 seeds, two coincide": lambda: comparison(),
    "30 cells, 3 seeds": lambda: many(30, (0, 1, 2)),
    "8 seeds, one diverged, one learned nothing": lambda: comparison(
        ("naive", LONG), range(8), more=[failed("ewc", 0), *(result("lost", s, accuracy=0.1) for s in range(8))]
    ),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Case -> the file of its page; each is drawn once."""
    folder, drawn = tmp_path_factory.mktemp("pages"), {}

    def page(case):
        if case not in drawn:
            drawn[case] = folder / f"{len(drawn)}.html"
            drawn[case].write_text(page_of(CASES[case]()), encoding="utf-8")
        return drawn[case]

    return page


@pytest.mark.parametrize("case", CASES)
def test_a_page_has_no_error_asks_for_nothing_and_nothing_overflows(case, pages, tab):
    page = tab.show(pages(case))
    assert tab.errors == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(BEYOND) == []
    assert page.locator("figure svg").count() >= 8


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("30")])
def test_no_text_of_a_figure_covers_another(case, pages, tab):
    page = tab.show(pages(case))
    assert page.evaluate(COVERED) == []
    page.evaluate("document.querySelectorAll('figure svg text').forEach(t => t.after(t.cloneNode(true)))")
    assert len(page.evaluate(COVERED)) >= page.locator("figure svg text").count() / 2 > 50  # the look sees what covers


def test_the_table_sorts_by_any_column_and_back_and_undefined_values_stay_last(pages, tab):
    page = tab.show(pages("7 cells, 3 seeds, two coincide"))
    names = page.locator("table.cells td.name")
    assert names.first.inner_text().startswith("neuronal_adaptation+sleep_replay")
    heading = page.get_by_role("button", name="final accuracy")
    heading.click()
    assert names.last.inner_text().startswith("joint")
    assert page.locator("th[aria-sort]").inner_text() == "final accuracy"
    heading.click()
    assert names.first.inner_text().startswith("joint")
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    for _ in range(2):
        page.get_by_role("button", name="forgetting since training").click()
        assert names.last.inner_text().startswith("joint")  # which has none
    assert names.first.inner_text().startswith(("naive", "neuronal_adaptation"))
    page.get_by_role("button", name="cell", exact=True).click()
    assert names.first.inner_text().startswith("awake_rehearsal")


def test_without_javascript_the_page_is_all_there_and_in_the_order_of_the_ranks(chromium, pages):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages("7 cells, 3 seeds, two coincide").as_uri())
    ranks = page.locator("table.cells td.rank").all_inner_texts()
    assert ranks == [str(k) for k in range(1, 8)]
    assert page.locator("table.cells button").count() == 0
    context.close()


def test_in_print_no_figure_is_wider_than_the_paper(pages, tab):
    page = tab.show(pages("7 cells, 3 seeds, two coincide"))
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 1000})  # A4 without its margins, in pixels of 1/96 inch
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"


RUNS = {"sleeps": result("sleep_replay", 0), "joint": result("joint", 0), "failed": failed(LONG, 0)}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_the_page_of_a_run_has_no_error_and_nothing_overflows(run, tmp_path, tab):
    (tmp_path / "run.html").write_text(report.run_page(run.to_json(), ABOUT), encoding="utf-8")
    page = tab.show(tmp_path / "run.html")
    assert tab.errors == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(BEYOND) == []
