"""`Strategy.state`: whatever an author puts there is there again when a run goes on, and is counted as memory."""

import numpy as np
import pytest
import torch

import clep
from clep.strategy import Memory, Strategy, memory_of
from clep.streams import Samples

pytestmark = pytest.mark.filterwarnings("ignore:No loggers specified")


class Remembers(Strategy):
    """Rehearses what it remembers; draws, counts, averages: everything in `self.state`."""

    def __init__(self):
        super().__init__()
        self.state["seen"] = {"experiences": 0, "labels": set()}

    def before_training_exp(self, strategy, **kwargs):
        if (memory := self.state.get("memory")) is not None:
            self.rehearse(memory.x, memory.y)

    def after_training_exp(self, strategy, **kwargs):
        dataset = strategy.experience.dataset
        rows = [dataset[row] for row in self.draw(len(dataset), 3)]
        new = Samples(torch.stack([x for x, *_ in rows]), torch.tensor([y for _, y, *_ in rows]))
        old = self.state.get("memory")
        parts = [new] if old is None else [old, new]
        self.state["memory"] = Samples(torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts]))
        self.state["seen"]["experiences"] += 1
        self.state["seen"]["labels"] |= set(new.y.tolist())
        self.state["mean"] = np.float64(new.x.mean())
        self.log("remembers/drift", self.state["seen"]["experiences"] * float(self.state["mean"]))


class Closed(Remembers):
    """Has its own idea of what a checkpoint keeps, without the state."""

    def state_dict(self):
        return {"generator": self.generator}

    def load_state_dict(self, state):
        assert set(state) <= {"state", "generator"}


@pytest.mark.parametrize("cls", [Remembers, Closed])
def test_a_run_that_goes_on_has_the_state_and_ends_the_same(cls, tmp_path):
    stream = clep.stream("digits", experiences=3, samples_per_experience=20, evaluation_samples=20)

    def training():
        learner = clep.Learner(clep.Network([64, 8, 10], free_steps=4, nudged_steps=2), lr=0.1)
        return clep.Training(learner, [cls()], epochs=1, batch_size=8, seed=2)

    first, path = training(), tmp_path / "first.ckpt"
    whole = first.run(stream, lambda report, _: report.index == 1 and first.save(path))
    second = training()
    resumed = second.resume(path, stream)
    assert (resumed.matrix == whole.matrix).all()
    assert [r.numbers for r in resumed.reports] == [r.numbers for r in whole.reports]
    mine, others = (t.strategies[0].state for t in (first, second))
    assert mine["seen"] == others["seen"]
    assert torch.equal(mine["memory"].x, others["memory"].x)
    assert torch.equal(mine["memory"].y, others["memory"].y)
    assert [report.memory.exemplars for report in whole.reports] == [3, 6, 9]


def test_what_is_in_the_state_is_counted():
    strategy = Strategy()
    assert memory_of(strategy) == Memory()
    strategy.state["mean"] = torch.zeros(5)
    strategy.state["samples"] = Samples(torch.zeros(3, 64), torch.zeros(3, dtype=torch.long))
    strategy.state["losses"] = [0.5, 0.25]
    assert memory_of(strategy) == Memory(exemplars=3, exemplar_bytes=3 * (64 * 4 + 8), statistics_bytes=5 * 4 + 2 * 8)
