"""`clep bench scaling`: exponents are those of the numbers, and what is printed and drawn was measured."""

import json

import pytest

from clep import cli
from clep.bench import cases, scaling
from clep.bench.cases import Axis


@pytest.mark.parametrize("k", [0.0, 1.0, 2.0])
def test_the_exponent_of_a_power_is_its_own_and_constant_costs_weigh_little_at_large_sizes(k):
    sizes = [10, 100, 1000, 10_000]
    assert scaling.exponent(sizes, [3.0 * n**k for n in sizes]) == pytest.approx(k)
    more = [*sizes, 10**5, 10**6]
    assert scaling.exponent(more, [5.0 + n for n in more]) == pytest.approx(1, abs=0.01)


def test_every_axis_has_a_measure():
    assert set(scaling._MEASURES) == set(cases.AXES)


def test_values_within_the_noise_tell_nothing():
    assert scaling.exponent([1, 10, 100], [1.0, 10.0, 100.0], noise=10.0) is None


def test_a_made_stream_has_as_many_experiences_classes_and_samples_as_it_says():
    stream = scaling.made_stream(4, classes=20, samples=40, evaluate="every:4")
    assert [len(experience) for experience in stream.train] == [40] * 4
    assert (len(stream.class_order), len(stream.train[0].classes)) == (20, 20)
    assert [len(stream.measured_after(i)) for i in range(4)] == [1, 1, 1, 4]


def test_what_grows_is_timed_printed_and_drawn(monkeypatch, capsys, tmp_path):
    axes = {
        "experiences": Axis("experiences", "a stream", (2, 3)),
        "steps": Axis("steps", "an update", (4, 800), of_stream=False),
    }
    monkeypatch.setattr(cases, "AXES", axes)
    monkeypatch.setattr(cases, "SCALINGS", {"scaling": tuple(axes)})
    assert cli.main(["bench", "scaling", "--json", "--figure", str(tmp_path / "scaling.png")]) == 0
    experiences, steps = json.loads(capsys.readouterr().out)
    assert (experiences["axis"], experiences["sizes"], steps["sizes"]) == ("experiences", [2, 3], [4, 800])
    assert steps["seconds"][1] > steps["seconds"][0] > 0
    assert steps["exponent"] == scaling.exponent([4, 800], steps["seconds"])
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
