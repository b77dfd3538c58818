"""Data sets and streams of other packages, by name and by import path."""

import warnings

import numpy as np
import pytest
import torch

import clep
from clep.build import build_stream, data_of, identity, plugins_of, resolved
from clep.cli import main
from clep.comparison.cells import plan
from clep.config import cells_of, compose
from clep.datasets import load
from clep.errors import ConfigError, DataError
from tests.oracles.packages import install
from tests.oracles.stores import empty_store

SOURCE = '''
import numpy as np
import torch

from clep.datasets import Dataset, Raw
from clep.errors import ConfigError
from clep.streams import Stream, stream_of


def noise(*, samples: int = 40, path: str | None = None):
    """Noise in four classes."""
    rng = np.random.default_rng(0)
    y = np.arange(samples) % 4
    x = rng.random((samples, 1, 4, 4)) / 2 + y[:, None, None, None] / 8
    return x, y, torch.as_tensor(x[:20]), torch.as_tensor(y[:20])


def named(*, root, download):
    assert isinstance(download, bool)
    x, y = np.eye(4), np.arange(4)
    return Raw("other", (x, y, x, y), class_names=("ant", "bee", "cat", "dog"))


def again():
    from clep.datasets import load
    return load("digits")


def needs(*, path):
    return path


def broken(*, samples: int = 3):
    return samples / 0


def odd():
    return {"x": 1}


def gaps():
    return np.eye(3), np.array([0, 1, 3]), np.eye(3), np.array([0, 1, 3])


def halves(data: Dataset, *, seed: int, swap: bool = False) -> Stream:
    """The first and the second half of the samples."""
    middle = len(data.y_train) // 2
    parts = [range(0, middle), range(middle, len(data.y_train))]
    return stream_of(data, parts[::-1] if swap else parts, [range(len(data.y_test))])


def not_a_stream(data):
    return data


def failing(data, *, seed):
    raise RuntimeError("no such luck")
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of its module."""
    return install(
        tmp_path,
        monkeypatch,
        "sounds",
        SOURCE,
        datasets={"noise": "noise", "digits": "odd"},
        streams={"halves": "halves"},
    )


def test_a_registered_data_set_and_stream_are_run_from_the_command_line(package, tmp_path, capsys):
    line = ["stream=noise", "stream.dataset_options.samples=48", "stream.scenario=halves", "learner.epochs=1"]
    line += ["network.hidden=[8]", f"tracking.uri={empty_store(tmp_path)}"]
    assert main(["run", *line]) == 0
    assert "each experience teaches everything that is measured" in capsys.readouterr().out
    assert main(["list", "datasets"]) == 0
    out, err = capsys.readouterr()
    assert next(row for row in out.splitlines() if row.startswith("noise ")).endswith("Noise in four classes.")
    assert "sounds registers the data set `digits`, which clep has itself" in err
    assert main(["list", "streams"]) == 0
    assert "The first and the second half of the samples." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stream=nois", r"^stream\.name: unknown data set `nois`; did you mean `noise`\?"),
        ("stream.scenario=halvs", r"^stream\.scenario: unknown stream `halvs`; did you mean `halves`\?"),
        ("stream.dataset_options.sample=3", r"^stream\.dataset_options\.sample: unknown key .* did you mean `samples`"),
        ("stream.dataset_options.samples=few", r"^stream\.dataset_options\.samples: expected an integer, got 'few'"),
        ("stream.scenario_options.swop=true", r"^stream\.scenario_options\.swop: unknown key .* did you mean `swap`"),
        ("stream.experiences=3", r"^stream\.experiences: the scenario `halves` takes no `experiences`; drop it"),
        ("stream=sounds_module:nosie", r"^stream\.name: cannot import .* did you mean `noise`\?"),
        ("stream=sounds_module:odd", r"^stream\.name: `sounds_module:odd` returned dict; expected x_train, y_train"),
        (
            "stream=sounds_module:broken",
            r"^data set `sounds_module:broken` failed .*line \d+\): ZeroDiv",
        ),
        ("stream=sounds_module:gaps", r"^sounds_module:gaps: `y_train` has no sample of class 2"),
        ("stream=sounds_module:needs", r"^stream\.path: `sounds_module:needs` needs one, got null"),
        ("stream.scenario=sounds_module:not_a_stream", r"^stream\.scenario: .* returned Dataset; expected a `clep\.st"),
        ("stream.scenario=sounds_module:failing", r"^stream\.scenario: .* failed .*RuntimeError: no such luck"),
        ("stream.scenario=sounds_module:odd", r"^stream\.scenario: `sounds_module:odd` is no function of `data`"),
    ],
)
@pytest.mark.usefixtures("package")
def test_what_is_wrong_is_said_before_training_with_its_key(change, message):
    lines = ["stream=noise", "stream.scenario=halves", change]
    with pytest.raises((ConfigError, DataError), match=message):
        build_stream(resolved(compose(None, lines)))


def test_arrays_a_raw_and_a_dataset_are_taken_alike(package):
    noise = load("noise", options={"samples": 48})
    assert (tuple(noise.x_train.shape), noise.x_train.dtype, noise.classes) == ((48, 1, 4, 4), torch.float32, 4)
    named = load(f"{package}:named", download=False)
    assert (named.name, named.class_names) == (f"{package}:named", ("ant", "bee", "cat", "dog"))
    again, digits = load(f"{package}:again"), load("digits")
    assert torch.equal(again.x_train, digits.x_train)
    assert torch.equal(again.y_test, digits.y_test)


def test_the_contents_and_the_source_of_a_data_set_and_a_stream_are_in_the_identity(package, monkeypatch):
    def of(*changes):
        return identity(resolved(compose(None, ["stream=noise", "stream.scenario=halves", *changes])))

    plain = of()
    assert plain.plugins.startswith(f"{package}=sounds-1.0+")
    assert plain.data == "+".join(load("noise").digests)
    assert of("stream.dataset_options.samples=40", "stream.scenario_options.swap=false") == plain  # the defaults
    assert of("stream.dataset_options.samples=44").data != plain.data
    assert "configuration" in plain.changed(of("stream.scenario_options.swap=true"))
    assert plugins_of(compose()) == "none"


@pytest.mark.usefixtures("package")
def test_cells_with_other_options_have_data_of_their_own():
    changes = ["stream.dataset_options.samples=40", "stream.dataset_options.samples=48"]
    cells = [{"label": label, "set": [change]} for label, change in zip("ab", changes, strict=True)]
    jobs = plan(cells_of(compose({"cells": cells}, ["stream=noise", "stream.scenario=halves"])), seeds=[0])
    assert len({job.identity.data for job in jobs}) == 2
    assert [job.identity.data for job in jobs] == [data_of(job.config) for job in jobs]


BENCHMARK = '''
import torch
from avalanche.benchmarks import nc_benchmark
from avalanche.benchmarks.utils import as_classification_dataset


def split(*, experiences: int = 2):
    """Four classes in an Avalanche benchmark."""
    def dataset(n, start):
        y = torch.arange(n) % 4
        data = torch.utils.data.TensorDataset((torch.arange(n)[:, None] + start) / 1000 + torch.zeros(1, 3), y)
        data.targets = y.tolist()
        return as_classification_dataset(data)

    return nc_benchmark(
        dataset(24, 0), dataset(8, 500), n_experiences=experiences, task_labels=False, fixed_class_order=[3, 0, 2, 1]
    )
'''


def test_an_avalanche_benchmark_keeps_its_experiences(tmp_path, monkeypatch):
    module = install(tmp_path, monkeypatch, "benchmarks", BENCHMARK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = clep.stream(f"{module}:split", scenario="as_given", validation_fraction=0.5)
    assert [set(e.classes) for e in made.train] == [{0, 3}, {1, 2}]
    assert [set(e.classes) for e in made.test] == [set(e.classes) for e in made.validation] == [{0, 3}, {1, 2}]
    seen = np.concatenate([e.samples.x[:, 0].numpy() for part in (made.train, made.validation) for e in part])
    assert sorted((seen * 1000).round().astype(int).tolist()) == list(range(24))
    assert sorted(x for e in made.test for x in (e.samples.x[:, 0] * 1000).round().int().tolist()) == [*range(500, 508)]
    other = load(f"{module}:split", options={"experiences": 4})
    assert other.digests != load(f"{module}:split").digests
