"""Jobs of a comparison: which there are, and which are refused."""

import pytest

from clep.comparison import Cell, check, plan
from clep.config import compose
from clep.errors import ConfigError

SMALL = ["stream.samples_per_experience=20", "network.hidden=[8]"]


def config(*changes):
    return compose({}, [*SMALL, *changes])


def test_a_job_is_found_by_what_its_result_depends_on_and_by_nothing_else():
    cells = [
        (Cell("a"), config()),
        (Cell("workers"), config("workers=3")),
        (Cell("epochs"), config("learner.epochs=3")),
    ]
    first, workers, epochs = plan(cells, [0])
    assert first.fingerprint == workers.fingerprint != epochs.fingerprint
    assert plan(cells, [1])[0].fingerprint != first.fingerprint


def test_every_cell_is_checked_and_named_before_anything_is_trained():
    cells = [
        (Cell("good"), config()),
        (Cell("bad"), config("strategies=sleep_replay", "strategy.sleep_replay.steps=-1")),
    ]
    assert check(plan(cells[:1], [0, 1])) == 10
    with pytest.raises(ConfigError, match=r"steps.*-1.*\(in the cell `bad`\)$"):
        check(plan(cells, [0, 1]))
