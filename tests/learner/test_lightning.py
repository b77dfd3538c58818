"""What people do with a learner and a stream's loader in plain Lightning, and with the trainer of a `Training`."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

import clep
from clep.errors import ConfigError, UnusedWarning

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=2, samples_per_experience=64, class_order="fixed")


def learner(**options):
    return clep.Learner(clep.Network([64, 12, 10], seed=0), lr=0.1, **options)


def weights(learner):
    return torch.cat([p.detach().flatten() for p in learner.network.parameters()])


def test_overfitting_takes_whole_batches_in_their_order(stream):
    """The right answer by hand: the same batch, once per epoch."""
    experience = stream.train[0]
    batch = next(iter(experience.loader(16, shuffle=False)))
    fitted, by_hand = learner(), learner()
    pl.Trainer(max_epochs=3, overfit_batches=1, **QUIET).fit(fitted, experience.loader(16))
    pl.Trainer(max_epochs=3, **QUIET).fit(by_hand, DataLoader([batch], batch_size=None))
    assert torch.equal(weights(fitted), weights(by_hand))


def test_reloading_the_loader_changes_nothing_about_its_batches(stream):
    loader = stream.train[0].loader(16, shuffle=False)
    fitted, plain = learner(), learner()
    pl.Trainer(max_epochs=2, reload_dataloaders_every_n_epochs=1, **QUIET).fit(fitted, loader)
    pl.Trainer(max_epochs=2, **QUIET).fit(plain, loader)
    assert torch.equal(weights(fitted), weights(plain))


def test_a_loader_gives_slices_and_its_data_set_gives_samples(stream):
    samples = stream.train[0].samples
    x, y, t = next(iter(samples.loader(5, shuffle=False)))
    assert torch.equal(x, samples.x[:5])
    assert torch.equal(y, samples.y[:5])
    assert not t.any()
    other = DataLoader(samples.loader(5).dataset, batch_size=7)  # torch's own collation
    assert [len(y) for _, y, _ in other] == [7] * 9 + [1]
    assert torch.equal(torch.cat([x for x, _, _ in other]), samples.x)


def test_testing_reports_what_validation_reports(stream):
    trained, loader = learner(), stream.test[0].loader(50, shuffle=False)
    (tested,) = pl.Trainer(**QUIET).test(trained, loader, verbose=False)
    (validated,) = pl.Trainer(**QUIET).validate(trained, loader, verbose=False)
    assert {name.partition("/")[2]: value for name, value in tested.items()} == {
        name.partition("/")[2]: value for name, value in validated.items()
    }
    assert set(tested) == {"test/loss", "test/accuracy"}


def test_a_precision_that_changes_nothing_is_named_once(stream):
    loader = stream.train[0].loader(16, shuffle=False)
    with pytest.warns(UnusedWarning, match=r"Trainer\(precision\): `bf16-mixed` changes nothing.*network\.precision"):
        pl.Trainer(max_epochs=1, precision="bf16-mixed", **QUIET).fit(learner(), loader)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"precision": "bf16-mixed"}, r"trainer\.precision: `bf16-mixed` changes nothing.*network\.precision"),
        ({"max_epochs": 3}, r"trainer\.max_epochs: set `epochs`"),
        ({"devices": 2}, r"trainer\.devices: one process"),
        ({"reload_dataloaders_every_n_epochs": 1}, r"trainer\.reload_dataloaders_every_n_epochs: each experience"),
        ({"loger": True}, r"trainer\.loger: unknown argument `loger`; did you mean `logger`\?"),
    ],
)
def test_arguments_of_the_trainer_without_effect_are_refused(arguments, says):
    with pytest.raises(ConfigError, match=says):
        clep.Training(learner(), trainer=arguments)


def test_arguments_of_the_trainer_are_used(stream, tmp_path):
    few, all_ = learner(), learner()
    logger = CSVLogger(tmp_path)
    clep.Training(few, epochs=1, trainer={"limit_train_batches": 1, "logger": logger}).run(stream)
    clep.Training(all_, epochs=1).run(stream)
    assert not torch.equal(weights(few), weights(all_))
    assert (tmp_path / "lightning_logs").is_dir()


SCHEDULERS = {
    "slurm": {"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"},
    "slurm, not the first task": {
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NAME": "train",
        "SLURM_PROCID": "2",
        "SLURM_LOCALID": "2",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "node1",
        "SLURM_NTASKS": "4",
    },
    "torchrun": {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "4"},
}
RUN = """
import clep
stream = clep.stream("digits", experiences=1, samples_per_experience=32)
learner = clep.Learner(clep.Network([64, 4, 10]))
clep.Training(learner, epochs=1).run(stream)
learner.save("learner.ckpt")
print(sorted(clep.Learner.load_from_checkpoint("learner.ckpt").state_dict()) == sorted(learner.state_dict()))
"""


@pytest.mark.parametrize(
    "scheduler", ["slurm", *(pytest.param(name, marks=pytest.mark.slow) for name in SCHEDULERS if name != "slurm")]
)
def test_what_a_scheduler_granted_is_not_taken_for_a_distributed_run(scheduler, tmp_path):
    environment = os.environ | SCHEDULERS[scheduler]
    command = [sys.executable, "-W", "ignore", "-c", RUN]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.stdout == "True\n", done.stderr


DISTRIBUTED = """
import os, sys, warnings, torch, clep, pytorch_lightning as pl
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
warnings.simplefilter("ignore")
sys.path.insert(0, os.environ["TESTS"])
from tests.learner.test_lightning import QUIET, c_ep
if __name__ == "__main__":
    torch.set_num_threads(1)
    learner, data = c_ep()
    sampler = DistributedSampler(data, 2, int(os.environ.get("LOCAL_RANK", 0)), shuffle=False)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", use_distributed_sampler=False, **QUIET
    )
    trainer.fit(learner, DataLoader(data, 16, sampler=sampler))  # half of a batch of 32
    torch.save([p.detach() for p in learner.network.parameters()], f"weights-{trainer.global_rank}.pt")
"""


def c_ep():
    """A learner whose gradient is C-EP, and 64 samples."""
    samples = clep.stream("digits", experiences=1, samples_per_experience=64).train[0].samples
    network = clep.Network([64, 8, 10], seed=1, free_steps=10, nudged_steps=3).double()
    learner = clep.Learner(network, gradient=clep.CEP(0.5, "random_sign"), lr=0.05, momentum=0.0)
    return learner, TensorDataset(samples.x.double(), samples.y)


@pytest.mark.slow
def test_c_ep_in_two_processes_takes_the_steps_of_one_with_the_whole_batch(tmp_path):
    (tmp_path / "distributed.py").write_text(DISTRIBUTED)
    environment = os.environ | {"TESTS": str(Path(__file__).parents[2])}
    command = [sys.executable, "distributed.py"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    learner, data = c_ep()
    start = [p.detach().clone() for p in learner.network.parameters()]
    pl.Trainer(max_epochs=1, **QUIET).fit(learner, DataLoader(data, 32))
    here, there = (torch.load(tmp_path / f"weights-{rank}.pt") for rank in (0, 1))
    for before, alone, first, second in zip(start, learner.network.parameters(), here, there, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, alone.detach(), rtol=1e-9, atol=1e-12)
        assert not torch.equal(before, alone)


def test_c_ep_averages_every_step_over_the_processes():
    """Two processes in one: the other one has the other half of the batch, and the strategy's mean is taken by hand."""
    learner, data = c_ep()
    twin, _ = c_ep()
    x, y = data.tensors
    gradients = {}
    for name, half in (("first", slice(0, 16)), ("second", slice(16, 32))):
        prediction = twin.predict(x[half])
        gradients[name] = next(twin.gradient.updates(prediction, y[half], twin.criterion))
        twin, _ = c_ep()  # with the generators of the start, as every process has them
    others = iter(gradients["second"])
    strategy = SimpleNamespace(reduce=lambda tensor, reduce_op: {"mean": (tensor + next(others)) / 2}[reduce_op])
    learner._trainer = SimpleNamespace(world_size=2, strategy=strategy)
    steps = []
    optimizer = SimpleNamespace(step=lambda: steps.append([p.grad.clone() for p in learner.network.parameters()]))
    with pytest.raises(StopIteration):  # at the second step: the other process has given all it has
        learner.update_continually(learner.predict(x[:16]), y[:16], optimizer)
    whole = next(twin.gradient.updates(twin.predict(x[:32]), y[:32], twin.criterion))
    torch.testing.assert_close(steps[0], whole)
