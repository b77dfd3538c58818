"""One learner in several processes: the same update as one process with the same batches."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from avalanche.training.plugins import EWCPlugin, MIRPlugin, ReplayPlugin
from torch import nn

import clep
from clep import registry
from clep.capabilities import replicates
from clep.checkpoints import Saved
from clep.errors import ClepError, ConfigError
from clep.ranks import Ranks, connected

STREAM = {"experiences": 2, "samples_per_experience": 75, "class_order": "fixed", "evaluation_samples": 50}
UNEVEN = STREAM | {"experiences": 3, "samples_per_experience": 46, "evaluation_samples": 20}


@pytest.mark.parametrize("size", [1, 5, 8])
def test_the_parts_of_a_batch_are_disjoint_and_their_mean_gradients_add_up_to_that_of_the_batch(size):
    x, y = torch.rand(size, 4, dtype=torch.float64), torch.rand(size, 2, dtype=torch.float64)
    weight = torch.rand(2, 4, dtype=torch.float64, requires_grad=True)

    def gradient(x, y):
        return torch.autograd.grad(nn.functional.mse_loss(x @ weight.T, y), weight)[0]

    parts = [Ranks(rank, 3).part([x, y]) for rank in range(3)]
    rows = [row for (part, _), share in parts if share for row in part.tolist()]
    assert sorted(rows) == sorted(x.tolist())
    assert sum(share for _, share in parts) == pytest.approx(1.0)
    whole = sum(share * gradient(*part) for part, share in parts)
    torch.testing.assert_close(whole, gradient(x, y))


def test_a_plug_in_that_acts_on_parts_of_batches_is_refused_unless_it_says_that_it_does_the_same_in_all():
    class Own(clep.Strategy):
        def after_forward(self, strategy, **kwargs):
            pass

    class Says(Own):
        replicates = True

    assert [replicates(p) for p in (Own(), Says(), ReplayPlugin(), EWCPlugin(1.0), MIRPlugin(5))] == [0, 1, 1, 1, 0]
    learner = clep.Learner(clep.Network([64, 8, 10]))
    with pytest.raises(ConfigError, match=r"^trainer\.devices: Own acts on batches, of which each process sees a part"):
        clep.Training(learner, [Own()], ranks=Ranks(0, 2))
    with pytest.raises(ConfigError, match=r"^trainer\.devices: MIRPlugin looks ahead .*; use the strategy `mir`"):
        clep.Training(learner, [MIRPlugin(5)], ranks=Ranks(0, 2))


def in_double(stream):
    """The stream in double precision, in which roundings stay below what is compared."""

    def double(samples):
        return replace(samples, x=samples.x.double())

    train, test = ([replace(e, samples=double(e.samples)) for e in part] for part in (stream.train, stream.test))
    return replace(stream, samples=double(stream.samples), train=tuple(train), test=tuple(test))


def trained(ranks, gradient, strategies):
    """A training that is the same in all processes, and its result; in double precision, where strategies can."""
    torch.manual_seed(0)
    stream, network = clep.stream("digits", **UNEVEN), clep.Network([64, 20, 10], seed=0)
    if not SINGLE.intersection(strategies):
        stream, network = in_double(stream), network.double()
    learner = clep.Learner(network, gradient=getattr(clep, gradient)(), lr=0.05, momentum=0.0)
    options = OPTIONS | (BY_BATCHES if gradient == "LinearNudging" else {})
    training = clep.Training(
        learner, registry.build(strategies, options, seed=0), epochs=2, batch_size=9, seed=0, ranks=ranks
    )
    return training, training.resume(Saved(), stream)


OPTIONS = {"sleep_replay": {"calibration": "published", "steps": 200}, "ewc": {"ewc_lambda": 1.0}}
OPTIONS |= {"top_down_dreams": {"steps": 5}, "gem": {"memory_strength": 2.0}}
OPTIONS |= {name: {"mem_size": 20, "batch_size_mem": 7} for name in ("der", "er_ace", "replay")}
OPTIONS |= {"agem": {"patterns_per_experience": 15, "sample_size": 9}, "gdumb": {"mem_size": 25}}
OPTIONS |= {"mir": {"mem_size": 30, "batch_size_mem": 5, "subsample": 15}}
OPTIONS |= {"rwalk": {"ewc_lambda": 1.0, "delta_t": 2}, "resting_rehearsal": {"memory_size": 20, "batch_size": 7}}
BY_BATCHES = {"orthogonal": {"protects": "batches", "pull": 0.0}}
SINGLE = {"si", "top_down_dreams", "class_means", "slda", "ridge"}  # they keep single precision
IDLE = {"naive", "joint", "class_means", "slda", "ridge"}  # they leave the updates of each experience alone
LINEAR = ["ewc", "lwf", "gem", "top_down_dreams", "class_means", "slda", "ridge", "der", "er_ace", "agem", "replay"]
LINEAR += ["gdumb", "rwalk", "mir", "resting_rehearsal", "neuronal_adaptation"]
CASES = [
    ("LinearNudging", ["awake_rehearsal", "sleep_replay"]),
    ("LinearNudging", ["naive"]),
    ("CostNudging", ["naive"]),
    ("CEP", ["naive"]),
    *(("LinearNudging", [name]) for name in LINEAR),
    ("LinearNudging", ["er_ace", "lwf"]),
    ("LinearNudging", ["orthogonal"]),
    ("LinearNudging", ["der", "lwf", "neuronal_adaptation"]),
    *(("CostNudging", [name]) for name in ("si", "orthogonal", "dreams", "joint", "neuronal_adaptation")),
]


def test_every_strategy_is_compared_with_one_process():
    assert {name for _, names in CASES for name in names} == set(registry.names())


def beside(ranks, cases):
    torch.set_num_threads(1)
    for case in cases:
        trained(ranks, *case)


class Deadly:
    """Ends the process that receives it."""

    def __reduce__(self):
        return os._exit, (3,)


def fails(ranks):
    raise ConfigError("here: it ends")


@pytest.mark.slow
def test_two_processes_make_the_same_updates_as_one_with_the_same_batches():
    """46 samples in batches of 9: two processes cannot halve a batch, and the second has nothing of the last."""
    torch.set_num_threads(1)
    alone = [trained(Ranks(), *case) for case in CASES]
    with connected(Ranks(0, 2), "cpu", beside, CASES):
        together = [trained(Ranks(0, 2), *case) for case in CASES]
        torch.distributed.barrier()
    plain = {
        case[0]: weights_of(training) for case, (training, _) in zip(CASES, alone, strict=True) if "naive" in case[1]
    }
    for (gradient, names), (one, result), (both, shared) in zip(CASES, alone, together, strict=True):
        weights, theirs = weights_of(one), weights_of(both)
        torch.testing.assert_close(theirs, weights, rtol=0, atol=1e-6 if SINGLE.intersection(names) else 1e-9)
        if not IDLE.intersection(names):
            assert float((weights - plain[gradient]).abs().max()) > 1e-4  # the strategy acts
        np.testing.assert_array_equal(shared.matrix, result.matrix)
        for report, other in zip(result.reports, shared.reports, strict=True):
            assert other.curve == [pytest.approx(point, abs=1e-5) for point in report.curve]
            assert other.memory == report.memory


def weights_of(training):
    """All weights after a training, in double precision."""
    return torch.cat([value.double().flatten() for value in training.template.learner.network.state_dict().values()])


def updated(ranks, rounds):
    """The weights after so many updates of a batch that does not divide evenly, in single precision."""
    learner = clep.Learner(clep.Network([64, 20, 10], seed=0), lr=0.05, momentum=0.0)
    stream = clep.stream("digits", **STREAM | {"samples_per_experience": 75, "experiences": 1})
    clep.Training(learner, epochs=rounds, batch_size=75, ranks=ranks).run(stream)
    return torch.cat([weight.detach().flatten() for weight in learner.network.parameters()])


def updating(ranks, rounds):
    torch.set_num_threads(1)
    updated(ranks, rounds)


@pytest.mark.slow
def test_in_single_precision_an_update_is_the_same_to_a_millionth():
    alone = updated(Ranks(), 1)
    with connected(Ranks(0, 2), "cpu", updating, 1):
        together = updated(Ranks(0, 2), 1)
        torch.distributed.barrier()
    assert float((together - alone).abs().max()) <= 1e-6


@pytest.mark.slow
def test_the_error_of_another_process_is_that_of_the_command():
    with pytest.raises(ClepError, match=r"^here: it ends"), connected(Ranks(0, 2), "cpu", fails):
        Ranks(0, 2).sum(torch.zeros(1))
    assert not torch.distributed.is_initialized()
    with pytest.raises(ClepError, match=r"process 1 ended with exit code 3 before it began"):  # noqa: SIM117
        with connected(Ranks(0, 2), "cpu", fails, Deadly()):
            pass


@pytest.mark.slow
def test_the_configuration_trains_on_two_devices_and_records_one_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "SLURM_NTASKS", "4")  # a scheduler's variables mean nothing here
    small = {"stream": STREAM, "learner": {"epochs": 1}, "strategies": ["sleep_replay"], "device": "cpu"}
    small |= {
        "strategy": {"sleep_replay": {"calibration": "published", "steps": 200}},
        "tracking": {"uri": f"sqlite:///{tmp_path}/m.db"},
    }
    one = clep.run(small)
    two = clep.run(small, ["trainer.devices=2"])
    assert two.accuracy_matrix == one.accuracy_matrix
    assert two.updates == one.updates
    from clep import tracking

    assert len(tracking.runs_of(two.tracking_uri)) == 2
    weights, theirs = (clep.load(run.run_id, tracking_uri=run.tracking_uri).network.state_dict() for run in (one, two))
    assert all(torch.allclose(weights[name], theirs[name], rtol=0, atol=1e-3) for name in weights)
