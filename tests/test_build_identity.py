"""The identity of a configuration: what a result depends on, and nothing else."""

import numpy as np
import pytest

from clep import build
from clep.build import cell_tags, fingerprint, identity, resolved
from clep.config import compose

OWN = ["stream=npz", "stream.path=a.npz", "stream.experiences=2"]


def save(path, level=0.5):
    x, y = np.full((4, 3), level), [0, 0, 1, 1]
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)


def of(*changes):
    return identity(resolved(compose(None, [*OWN, *changes])))


def test_every_part_follows_what_it_is_of_and_nothing_else(tmp_path, monkeypatch):
    save("a.npz")
    first = of()
    assert first.source == "a.npz"
    assert of("learner.lr=0.5").changed(first) == ["configuration"]
    assert of("seed=3").changed(first) == ["configuration"]
    assert of("workers=3", "tracking.note=x", "data.root=/elsewhere", "tune.trials=3").changed(first) == []
    save("a.npz", level=0.25)
    assert of().changed(first) == ["data"]
    save("a.npz")
    monkeypatch.setattr(build, "own_code", lambda: "9.0+abc")
    assert of().changed(first) == ["code"]


def test_data_count_by_their_contents_wherever_they_lie(tmp_path):
    save("a.npz")
    save("b.npz")
    assert of("stream.path=b.npz") == of()
    (tmp_path / "a.npz").unlink()
    assert of().changed(of("stream.path=b.npz")) == ["data"]
    assert of().data == "unreadable"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("strategies=[identified:Mine]", "class Mine(clep.Strategy):\n    adds_penalty = False\n"),
        (
            "network.neuron=identified:mine",
            "from clep.equilibrium import Neuron\nmine = Neuron(lambda u: u.relu_(), lambda u: (u > 0).to(u.dtype))\n",
        ),
        ("learner.loss=identified:Mine", "from clep.equilibrium import SquaredError\nclass Mine(SquaredError): ...\n"),
    ],
)
def test_the_source_of_own_code_counts_wherever_a_configuration_names_it(change, text, tmp_path, monkeypatch):
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "identified", raising=False)
    save("a.npz")
    path = tmp_path / "identified.py"
    path.write_text(f"import clep\n{text}")
    first = of(change)
    assert first.plugins.startswith("identified=")
    path.write_text(f"{path.read_text()}# another\n")
    assert of(change).changed(first) == ["plugins"]
    monkeypatch.delitem(sys.modules, "identified")


def test_a_cell_is_one_for_all_seeds_and_versions_and_another_for_other_data(tmp_path, monkeypatch):
    save("a.npz")

    def cell(*changes):
        return cell_tags(resolved(compose(None, [*OWN, *changes])))["clep.cell"]

    first = cell()
    assert cell("seed=3") == first != cell("learner.lr=0.5")
    monkeypatch.setattr(build, "own_code", lambda: "9.0+abc")
    assert cell() == first
    save("a.npz", level=0.25)
    assert cell() != first


def test_further_values_count(tmp_path):
    save("a.npz")
    config = resolved(compose(None, OWN))
    assert len({fingerprint(config), fingerprint(config, 1), fingerprint(config, 2), fingerprint(config, [1], {})}) == 4
    assert fingerprint(config, 1) == fingerprint(config, 1)
    assert len(fingerprint(config)) == 32
