"""The pages, read as a browser would read them."""

import re
from html.parser import HTMLParser

import pytest

from clep import report
from clep.report.drawing import figures
from tests.oracles.stored import comparison, failed, result
from tests.report.test_looks import cells_of

ABOUT = report.About("seed: 0 # <not a tag>\n", ["version 1, commit abc"], {"Repeat it": "clep compare"}, ["one note"])


VOID = {"meta", "link", "line", "circle", "polyline", "path", "use", "rect", "br", "wbr"}


class Page(HTMLParser):
    """Tags, identifiers and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.text, self.open = [], [], "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data


def page_of(found, about=ABOUT):
    cells = cells_of(found)
    svgs = {name: report.svg(figure, name) for name, figure in figures("page", cells=cells)}
    return report.comparison_page(found.answer, cells, svgs, about, title="ep on digits")


@pytest.fixture(scope="module")
def text():
    return page_of(comparison(more=[failed("ewc", 0)]))


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_answer_comes_first_then_the_table_then_figures_then_where_all_comes_from(page):
    answer = comparison(more=[failed("ewc", 0)]).answer
    parts = [answer.sentence, answer.notes[0], "The cells", "Figures", "Accuracy matrices", "Where this comes from"]
    places = [page.text.index(part) for part in [*parts, "What the numbers mean"]]
    assert places == sorted(places)
    assert "ewc: 1 diverged." in page.text
    assert [a["id"] for tag, a in page.tags if tag == "figure"][:3] == [
        "figure-forgetting",
        "figure-differences_in_forgetting",
        "figure-differences_in_accuracy",
    ]


def test_a_page_needs_nothing_but_itself(text, page):
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:,")), attributes
    assert not re.search(r"@import|url\((?!#)", text)
    assert [tag for tag, _ in page.tags if tag in ("link", "script", "img", "iframe")] == ["link", "script"]


def test_identifiers_are_unique_and_whatever_is_referred_to_is_there(text, page):
    assert len(page.ids) == len(set(page.ids))
    assert len(page.ids) > 50
    wanted = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'xlink:href="#([^"]+)"', text))
    assert wanted <= set(page.ids)


def test_the_foot_says_seeds_class_orders_code_configuration_and_commands(page):
    order = " | ".join(" ".join(map(str, part)) for part in comparison().runs[1].classes)
    told = ("version 1, commit abc", "clep compare", "seed: 0 # <not a tag>", "one note", "numpy")
    for part in ("seed 1", order, *told):
        assert part in page.text
    assert ("details", {}) in page.tags  # folded


def test_nothing_in_a_label_becomes_a_part_of_the_page():
    label = '<script>alert("x")</script>&amp;<img src=x>'
    found = comparison((label, "naive"), (0, 1), more=[failed("x", 0, error="<b>bold</b>")])
    text = page_of(found, report.About(commands={label: label}))
    assert "<script>alert" not in text
    assert "<img" not in text
    assert label in Page(text).text


def test_runs_of_an_older_version_say_what_was_not_recorded():
    old = {"forgetting_since_training": None, "accuracy_before_consolidation": [], "learned_in_training": None}
    old |= {"sizes": [], "classes": [], "updates": None, "chance": None}
    page = Page(page_of(comparison(("naive", "ewc"), (0, 1), **old)))
    assert "Forgetting since training was not recorded" in page.text
    assert "figure-consolidation" not in page.ids


@pytest.mark.parametrize("status", ["FAILED", "FINISHED"])
def test_a_comparison_without_a_finished_run_still_has_a_page(status):
    found = comparison((), (), more=[failed("naive", 0)] if status == "FAILED" else [])
    assert found.answer.sentence in Page(page_of(found, report.About())).text


def test_the_page_of_a_run_has_its_numbers_both_matrices_and_curves():
    run = result("sleep_replay", 3)
    page = Page(report.run_page(run.to_json(), ABOUT))
    assert f"final accuracy {run.accuracy:.3f}" in page.text
    for number in (run.forgetting, run.forgetting_since_training, run.learned_in_training, run.chance):
        assert f"{number:.3f}" in page.text
    assert "before each consolidation" in page.text
    assert f"{run.accuracy_before_consolidation[4][0]:.2f}" in page.text
    assert [tag for tag, _ in page.tags].count("polyline") == 4
    assert "296 B" in page.text


def test_curves_of_a_run_stand_where_their_values_are():
    run = result("naive", 0, keeps=0.0)
    page = Page(report.run_page(run.to_json(), ABOUT))
    seen = next(attributes["points"] for tag, attributes in page.tags if tag == "polyline")
    heights = [float(point.split(",")[1]) for point in seen.split()]
    ticks = [(float(a["y1"])) for tag, a in page.tags if tag == "line"][:6]  # 0.0, 0.2 ... 1.0
    for height, value in zip(heights, run.accuracy_seen, strict=True):
        assert height == pytest.approx(ticks[0] + (ticks[-1] - ticks[0]) * value, abs=0.1)


@pytest.mark.parametrize(
    "run",
    [
        result("joint", 0),
        result("naive", 0, experiences=1),
        failed("naive", 0),
        result("naive", 0, forgetting_since_training=None, accuracy_before_consolidation=[], memory={}, seconds={}),
    ],
    ids=["joint", "one experience", "diverged", "older version"],
)
def test_any_run_has_a_page(run):
    page = Page(report.run_page(run.to_json(), ABOUT))
    assert run.label in page.text
    assert run.error is None or run.error in page.text
