"""How cells look, and what their figures are as files."""

import re

from clep import report
from clep.report.drawing import styles
from tests.oracles.stored import comparison


def cells_of(found):
    return report.drawn_cells(found.answer, [row.label for row in found.rows], found.classes)


def test_a_known_cell_looks_the_same_in_every_comparison_and_whatever_stands_beside_it():
    alone, among = styles(["sleep_replay"]), styles(["mine", "joint", "another", "sleep_replay", "naive"])
    assert alone["sleep_replay"] == among["sleep_replay"]
    assert among["joint"] == styles(["joint", "naive"])["joint"]


def test_no_two_cells_look_alike_and_the_first_eight_differ_in_colour():
    many = styles(f"cell {k}" for k in range(88))
    assert len({(look.colour, look.marker, str(look.dashes)) for look in many.values()}) == 88
    assert len({look.colour for look in list(many.values())[:8]}) == 8
    known_and_not = styles(["naive", "mine", "sleep_replay", "other"])
    assert len({look.colour for look in known_and_not.values()}) == 4


def test_figures_are_one_or_two_columns_wide_and_the_same_numbers_give_the_same_bytes(tmp_path):
    found = comparison(("naive", "sleep_replay"), (0, 1))
    written = []
    for attempt in "ab":
        files = {}
        for name, figure in report.figures("page", cells=cells_of(found)):
            assert figure.get_figwidth() in (3.4, 7.0)
            report.write_pdf(figure, tmp_path / f"{attempt}.pdf")
            files[name] = (report.svg(figure, name), (tmp_path / f"{attempt}.pdf").read_bytes())
        written.append(files)
    assert written[0] == written[1]
    assert len(written[0]) == 10


def test_text_in_svg_is_text_and_a_pdf_has_its_fonts_in_it(tmp_path):
    found = comparison(("naive", "a <b>bold</b> & long label"), (0, 1))
    name, figure = next((n, f) for n, f in report.figures("page", cells=cells_of(found)) if n == "forgetting")
    svg = report.svg(figure, name)
    assert "a &lt;b&gt;bold&lt;/b&gt; &amp; long label" in svg
    assert set(re.findall(r"'DejaVu Sans'[^;\"]*", svg)) == {"'DejaVu Sans', Verdana, sans-serif"}
    report.write_pdf(figure, tmp_path / "figure.pdf")
    content = (tmp_path / "figure.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/MediaBox [ 0 0 244.8 " in content  # 3.4 inches of 72 points
