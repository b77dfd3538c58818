"""A training that goes on from a checkpoint ends as one that was never stopped: same weights, to the bit."""

import warnings
from dataclasses import asdict

import numpy as np
import pytest
import torch

from clep.build import build_stream, build_training, resolved
from clep.checkpoints import Checkpoints, Saved
from clep.config import compose
from clep.errors import CheckpointWarning

SMALL = [
    "stream.experiences=3",
    "stream.samples_per_experience=40",
    "stream.evaluation_samples=10",
    "network.hidden=[20]",
    "learner.epochs=2",
    "learner.batch_size=16",
]
STRATEGIES = {
    "naive": [],
    "awake_rehearsal": ["strategy.awake_rehearsal.memory_size=20"],
    "awake_rehearsal, a share": ["strategies=awake_rehearsal", "strategy.awake_rehearsal.fraction=0.2"],
    "sleep_replay": ["strategy.sleep_replay.calibration=published", "strategy.sleep_replay.steps=200"],
    "neuronal_adaptation": [],
    "der": ["strategy.der.mem_size=30"],
    "er_ace": ["strategy.er_ace.mem_size=30"],
    "gem": [],
    "orthogonal": [],
    "resting_rehearsal": ["strategy.resting_rehearsal.memory_size=20"],
    "ewc": ["strategy.ewc.ewc_lambda=1.0"],
    "si": [],
    "lwf": ["strategy.lwf.alpha=1.0", "strategy.lwf.temperature=2.0"],
    "agem": ["strategy.agem.patterns_per_experience=10", "strategy.agem.sample_size=8"],
    "replay": ["strategy.replay.mem_size=20"],
    "rwalk": ["strategy.rwalk.delta_t=1"],
    "mir": ["strategy.mir.mem_size=40", "strategy.mir.batch_size_mem=8"],
    "gdumb": ["strategy.gdumb.mem_size=20"],
    "tests.checkpoints.test_strategy_state:Remembers": [],
    "[awake_rehearsal,sleep_replay,ewc]": ["strategy.ewc.ewc_lambda=1.0"],
    "[der,agem]": ["strategy.der.mem_size=30", "strategy.agem.patterns_per_experience=10"],
}
LEARNERS = {
    "random signs": ["learner.phases=random_sign"],
    "spikes": ["network=stoch_ep"],
    "convolutions": ["network=conv_ep", "network.channels=[4]", "network.hidden=[]"],
    "dendrites": ["network=dendritic_ep", "network.hidden=[20]"],
    "untied feedback": ["network=fre_rnn", "network.hidden=[20]"],
    "Adam, kept": ["learner.optimizer=adam", "learner.reset_optimizer=false"],
    "a schedule": ["learner.schedule=cosine"],
    "C-EP": ["network=ep", "learner.gradient=cep", "learner.momentum=0"],
    "accuracies of epochs": ["learner.evaluate_epochs=true"],
    "all at once": ["strategies=joint", "learner.epochs=3"],
}
_CANNOT_WITHIN = {"agem", "mir"}  # their iterators can be in the middle of a pass over the memory


_IN_A_HURRY = {"der", "agem", "gdumb", "lwf", "rwalk", "[awake_rehearsal,sleep_replay,ewc]", "neuronal_adaptation"}
_IN_A_HURRY |= {"spikes", "convolutions", "Adam, kept", "a schedule", "all at once"}


def cases():
    for name, changes in STRATEGIES.items():
        chosen = [] if any(text.startswith("strategies=") for text in changes) else [f"strategies={name}"]
        yield case(name, [*chosen, *changes])
    for name, changes in LEARNERS.items():
        yield case(name, changes)


def case(name, changes):
    return pytest.param(changes, id=name, marks=[] if name in _IN_A_HURRY else pytest.mark.slow)


class Stopped(Exception):
    """The process is gone."""


class Stopping(Checkpoints):
    """Checkpoints whose process is gone after so many of them within experiences."""

    def __init__(self, folder, number):
        super().__init__(folder, every_minutes=0.0, keep_all=True)
        self._left = number

    def within_experience(self, done, take):
        super().within_experience(done, take)
        self._left -= 1
        if not self._left:
            raise Stopped


def weights(training):
    return {name: value.clone() for name, value in training.template.learner.network.state_dict().items()}


def told(result):
    """What a result says, without times."""
    reports = [{k: v for k, v in asdict(report).items() if k != "seconds"} for report in result.reports]
    return {"matrix": result.matrix, "before": result.before, "untrained": result.untrained, "reports": reports}


def assert_same(one, other):
    (first, result), (second, again) = one, other
    mine, others = weights(first), weights(second)
    assert all(torch.equal(mine[name], others[name]) for name in mine)
    np.testing.assert_equal(told(result), told(again))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("changes", list(cases()))
def test_goes_on_after_an_experience_and_within_one_as_if_nothing_had_happened(changes, tmp_path):
    config = resolved(compose(None, [*SMALL, *changes]))
    stream = build_stream(config)
    whole = build_training(config, stream)
    result = whole.run(stream)
    stopping = Stopping(tmp_path, 2)  # in the second experience, or of a single one in the third epoch
    watched = build_training(config, stream)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        with pytest.raises(Stopped):
            watched.run(stream, checkpoints=stopping)
    latest = stopping.latest()
    assert latest.within is not None or _CANNOT_WITHIN & {*config.strategies}
    for saved in (Saved(latest.after), latest)[whole.trains_jointly :]:
        training = build_training(config, stream)
        assert_same((whole, result), (training, training.resume(saved, stream)))


def test_a_checkpoint_of_another_training_is_refused_by_name(tmp_path):
    config = resolved(compose(None, SMALL))
    stream = build_stream(config)
    training = build_training(config, stream)
    path = tmp_path / "first.ckpt"
    training.run(stream, lambda report, so_far: report.index == 0 and training.save(path))
    others = {
        "network: the weights": ["network.hidden=[21]"],
        "strategies: the checkpoint is of a training with": ["strategies=sleep_replay"],
        "stream: the checkpoint is of another stream": ["stream.evaluation_samples=9"],
    }
    for message, changes in others.items():
        other = resolved(compose(None, [*SMALL, *changes]))
        with pytest.raises(ValueError, match=message):
            build_training(other, build_stream(other)).resume(path, build_stream(other))


def test_nothing_is_saved_before_anything_was_learned(tmp_path):
    config = resolved(compose(None, SMALL))
    training = build_training(config, build_stream(config))
    with pytest.raises(ValueError, match="nothing was learned yet"):
        training.save(tmp_path / "none.ckpt")
