"""The whole configuration: what is refused, with which key and in which words."""

import pytest

from clep.config import compose
from clep.errors import ConfigError
from clep.schema import Config, construct, key_paths, meaning, misfits
from clep.specs import LearnerSpec


def message(source, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(source, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "begins", "says"),
    [
        # unknown keys, with the nearest of the same level or the same name elsewhere
        ("streem.experiences=3", "streem.experiences: unknown key `streem`; did you mean `stream`?", ""),
        ("learner.epoch=3", "learner.epoch: unknown key `epoch`; did you mean `epochs`?", "Valid keys: batch_size"),
        ("network.time_step.distibution=gamma", "network.time_step.distibution: ", "did you mean `distribution`?"),
        ("network.dendrites.gian=1", "network.dendrites.gian: ", "did you mean `gain`? Valid keys: apical, "),
        ("density=1", "density: unknown key `density`; did you mean `network.dendrites.density`?", ""),
        ("lr=0.1", "lr: unknown key `lr`; did you mean `learner.lr`?", "Valid keys: baseline, cells"),
        ("learner={epoch: 3}", "learner.epoch: ", "did you mean `epochs`?"),
        ("=3", ": unknown key ``", "Valid keys: baseline, cells"),
        ("learner..lr=3", "learner..lr: ", "unknown key ``"),
        ("learner.lr.x=3", "learner.lr: expected a number, got {'x': 3}", ""),
        # unknown names
        (
            "stream=mnst",
            "stream.name: unknown data set `mnst`; did you mean `mnist`?",
            "Valid data sets: cifar10, ",
        ),
        ("network.name=hts", "network.name: unknown network `hts`", "or a path that ends in .yaml"),
        ("learner.phases=centred", "learner.phases: ", "did you mean `centered`? Valid values: centered, holomorphic"),
        ("device=gpu", "device: unknown value `gpu`", "Valid values: auto, cpu, cuda"),
        ("stream.class_order=shufled", "stream.class_order: ", "did you mean `shuffled`? Valid values: fixed"),
        # wrong types
        ("learner.lr=abc", "learner.lr: expected a number, got 'abc'", ""),
        ("learner.lr=true", "learner.lr: expected a number, got True", ""),
        ("learner.epochs=2.5", "learner.epochs: expected an integer, got 2.5", ""),
        ("learner.epochs=2.0", "learner.epochs: expected an integer, got 2.0", ""),
        ("seed=x", "seed: expected an integer, got 'x'", ""),
        ("seed=true", "seed: expected an integer, got True", ""),
        ("seed=", "seed: expected an integer, got None", ""),
        ("network.bias=1", "network.bias: expected true or false, got 1", ""),
        ("network.neuron=3", "network.neuron: expected a string, got 3", ""),
        ("network.hidden=256", "network.hidden: expected a list of integers", "got 256"),
        ("network.hidden=[256,1.5]", "network.hidden[1]: expected an integer, got 1.5", ""),
        ("network.time_step=0.5", "network.time_step: expected a mapping with keys of distribution, mean", "got 0.5"),
        ("network.dendrites=2", "network.dendrites: expected a mapping with keys of basal, apical", "got 2"),
        ("network.dendrites.basal=1.5", "network.dendrites.basal: expected an integer, got 1.5", ""),
        ("learner.phases=3", "learner.phases: unknown value `3`. Valid values: centered, holomorphic, one_sided", ""),
        ("stream.path=3", "stream.path: expected a string or null, got 3", ""),
        ("stream.samples_per_experience=1.5", "stream.samples_per_experience: expected an integer or null", ""),
        ("stream=5", "stream: expected a mapping", "got 5"),
        ("strategies=3", "strategies: expected a list of strings, got 3", ""),
        (
            "cells=3",
            "cells: expected a list of cells, each a set of strategies, as in [ewc",
            "got 3",
        ),
        ("cells=[[naive],3]", "cells[1]: expected a set of strategies, as in [ewc", "got 3"),
        ("cells=[[naive],['']]", "cells[1]: expected a set of strategies", "got ['']"),
        ("cells=[[naive],{}]", "cells[1]: expected a set of strategies", "got {}"),
        ("cells=[{lable: x}]", "cells[0].lable: unknown key `lable`; did you mean `label`?", "Valid keys: label, set"),
        ("cells=[{set: learner.lr=1}]", "cells[0].set: expected a list of key=value changes", "got 'learner.lr=1'"),
        ("cells=[{set: [learner.lr]}]", "cells[0].set: expected a list of key=value changes", "got ['learner.lr']"),
        ("cells={mine: 3}", "cells.mine: expected the changes of the cell, as in {set: [key=value]}, got 3", ""),
        ("cells=[[naive],{set: [learner.lrr=1]}]", "cells[1]: learner.lrr: unknown key", "(cell `lrr=1`)"),
        ("cells=[{label: a, set: [seed=1]}]", "cells[0].set: `seed` cannot differ between cells", "all `seeds` (cell"),
        ("cells=[{strategies: [slep_replay], set: [seed=1]}]", "cells[0].set: `seed`", ""),
        ("cells=[{strategies: [nave], label: a}]", "cells[0]: strategies: unknown strategy `nave`; did", "(cell `a`)"),
        ("grid.learner.lrr=[1]", "grid.learner.lrr: unknown key `learner.lrr`; did you mean `learner.lr`?", ""),
        ("grid.learner.lr=[x]", "grid.learner.lr: learner.lr: expected a number, got 'x' (cell `lr=x`)", ""),
        ("grid.network=[ep,epp]", "grid.network: network.name: unknown network `epp`", "(cell `epp`)"),
        ("grid.strategies=[nave]", "grid.strategies: strategies: unknown strategy `nave`", ""),
        ("grid.seed=[1,2]", "grid.seed: `seed` cannot differ between cells", ""),
        ("grid=3", "grid: expected at least one axis", ""),
        ("strategy=ewc", "strategy: expected parameters by the name of a strategy, as in strategy.ewc.", "got 'ewc'"),
        ("strategy.ewc=3", "strategy.ewc: expected a mapping of parameters to values, got 3", ""),
        ("stream.class_order=[0,1.5]", "stream.class_order: expected classes as integers from 0, got 1.5", ""),
        # out of range
        ("stream.experiences=0", "stream.experiences: expected an integer of at least 1, got 0", ""),
        ("stream.validation_fraction=1", "stream.validation_fraction: expected a number in [0, 1), got 1", ""),
        (
            "stream.samples_per_experience=0",
            "stream.samples_per_experience: expected an integer of at least 1 or null, got 0",
            "",
        ),
        ("stream.class_order=[0,-1]", "stream.class_order: expected classes as integers from 0, got -1", ""),
        ("stream.class_order=[0,1,0]", "stream.class_order: expected each entry once, got `0` 2 times", ""),
        ("network.hidden=[256,0]", "network.hidden: expected a list of integers of at least 1, got [256, 0]", ""),
        ("network.hidden=[]", "network.hidden: expected the size of at least one hidden layer", "got []"),
        ("network.free_steps=0", "network.free_steps: expected an integer of at least 1, got 0", ""),
        ("network.nudged_steps=0", "network.nudged_steps: expected an integer of at least 1, got 0", ""),
        ("network.time_step.mean=0", "network.time_step.mean: expected a number in (0, 1], got 0", ""),
        ("network.time_step.max=1.1", "network.time_step.max: expected a number in (0, 1], got 1.1", ""),
        (
            "network={feedback: dendritic, dendrites: {basal: 0}}",
            "network.dendrites.basal: expected an integer of at least 1, got 0",
            "",
        ),
        (
            "network={feedback: dendritic, dendrites: {apical: 0}}",
            "network.dendrites.apical: expected an integer of at least 1, got 0",
            "",
        ),
        (
            "network={feedback: dendritic, dendrites: {density: 0}}",
            "network.dendrites.density: expected a number in (0, 1], got 0",
            "",
        ),
        (
            "network={feedback: dendritic, dendrites: {gain: -1}}",
            "network.dendrites.gain: expected a number of at least 0, got -1.0",
            "",
        ),
        ("network.time_step.spread=-1", "network.time_step.spread: expected a number of at least 0, got -1.0", ""),
        ("network.time_step.min=0.7", "network.time_step.mean: expected min <= mean <= max, got 0.7 <= 0.6 <= 1.0", ""),
        ("learner.beta=0", "learner.beta: expected a number other than 0", "got 0.0"),
        ("learner.beta=.nan", "learner.beta: expected a number that is finite, got nan", ""),
        ("learner.lr=0", "learner.lr: expected a number above 0, got 0", ""),
        ("learner.lr=.inf", "learner.lr: expected a number above 0, got inf", ""),
        ("learner.lr_scale=[1,-1]", "learner.lr_scale: expected a list of numbers of at least 0, got [1.0, -1.0]", ""),
        (
            "learner.lr_scale=[1]",
            "learner.lr_scale: expected one factor for each of the 2 layers",
            "or [] for all 1, got 1",
        ),
        ("learner.momentum=1", "learner.momentum: expected a number in [0, 1), got 1.0", ""),
        ("learner.weight_decay=-1", "learner.weight_decay: expected a number of at least 0, got -1.0", ""),
        ("learner.gradient_clip=0", "learner.gradient_clip: expected a number above 0 or null, got 0.0", ""),
        ("learner.batch_size=0", "learner.batch_size: expected an integer of at least 1, got 0", ""),
        ("learner.epochs=0", "learner.epochs: expected an integer of at least 1, got 0", ""),
        ("seed=-1", "seed: expected an integer of at least 0, got -1", ""),
        ("threads=0", "threads: expected an integer in [1, 1024], got 0", ""),
        ("workers=-1", "workers: expected an integer of at least 0, got -1", ""),
        ("seeds=[0,-1]", "seeds: expected a list of integers of at least 0, got [0, -1]", ""),
        ("seeds=[]", "seeds: expected at least one entry", "got []"),
        ("seeds=[1,2,1]", "seeds: expected each entry once, got `1` 2 times", ""),
        ("cells=[]", "cells: expected at least one entry", "got []"),
        ("cells=[[a,b],[a,b]]", "cells: expected each entry once, got `a+b` 2 times", ""),
        ("cells=[[],[naive]]", "cells: expected each entry once, got `naive` 2 times", ""),
        # values that do not go together
        ("learner.nudge=outside", "learner.nudge: `outside`", "loses rho' and is not the vector-Jacobian product"),
        (
            "learner={gradient: cost, loss: cross_entropy}",
            "learner.loss: `cross_entropy` with cost nudging needs logits",
            "readout",
        ),
        ("learner.gradient=cep", "learner.optimizer: `cep` (C-EP)", "momentum=0"),
        ("learner.points=1", "learner.points: expected an integer of at least 2, got 1", ""),
        ("network={channels: [4,4,4], kernel: [3,5]}", "network.kernel: expected 1 value for all layers, or 3", ""),
        ("network.feedback_scale=0", "network.feedback_scale: expected a number above 0, got 0.0", ""),
        (
            "stream.evaluate_on=validation",
            "stream.evaluate_on: `validation` has no samples",
            "set validation_fraction=",
        ),
        ("stream=npz", "stream.path: expected the file with x_train, y_train", "for example FILE.npz"),
        ("stream=folder", "stream.path: expected the folder with train/CLASS/IMAGE", "for example FOLDER"),
        ("stream.path=x.npz", "stream.path: only `npz` and `folder` take a path", "got `x.npz` with `digits`"),
        ("strategies=[naive,ewc]", "strategies: `naive` stands alone, got naive+ewc", ""),
        ("strategies=[ewc,joint]", "strategies: `joint` stands alone, got ewc+joint", ""),
        ("strategies=[ewc,ewc]", "strategies: expected each entry once, got `ewc` 2 times", ""),
        ("cells=[[ewc],[joint,si]]", "cells[1]: `joint` stands alone, got joint+si", ""),
        # texts that are not key=value
        ("learner.lr", "learner.lr: expected key=value", "learner.lr=0.01"),
        ("network.hidden=[256", "network.hidden: `[256` is not YAML: ", ""),
        ("stream.path=${oops", "stream.path: `${oops` is not YAML: ", ""),
        ("stream.path=${oops}", "stream.path: ", "oops"),
        ("learner=${stream}", "learner.name: unknown key `name`", "Valid keys: batch_size"),
        ("learner.lr=${stream.name}", "learner.lr: expected a number, got 'digits'", ""),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_what_is_allowed(override, begins, says):
    text = message({}, override)
    assert text.startswith(begins)
    assert says in text


def test_the_ends_of_a_range_belong_to_it_or_not_as_its_brackets_say():
    ends = [
        "stream.validation_fraction=0",
        "learner.momentum=0",
        "learner.weight_decay=0",
        "network.time_step.mean=1",
        "seed=0",
    ]
    composed = compose({}, [*ends, "stream.experiences=1", "learner.beta=-0.5", "learner.lr=1e-9", "workers=1"])
    assert (composed.learner.momentum, composed.network.time_step.mean, composed.learner.beta) == (0.0, 1.0, -0.5)


def test_what_goes_together_is_accepted():
    composed = compose(
        {}, ["learner={gradient: cost, nudge: outside}", "stream={name: npz, path: x.npz}", "strategies=[naive]"]
    )
    assert (composed.learner.nudge, composed.stream.path) == ("outside", "x.npz")
    composed = compose({}, ["learner={gradient: cost, loss: cross_entropy}", "network.readout=linear"])
    assert composed.learner.loss == "cross_entropy"
    composed = compose({}, ["network={channels: [4,8], hidden: [], kernel: [5,3]}", "learner.lr_scale=[1,1,2]"])
    assert composed.network.kernel == [5, 3]
    composed = compose({}, ["stream={evaluate_on: validation, validation_fraction: 0.1}", "network.hidden=[9,8]"])
    assert composed.stream.evaluate_on == "validation"
    assert len(compose({}, ["network.hidden=[9,8]", "learner.lr_scale=[1,1,2]"]).learner.lr_scale) == 3


@pytest.mark.parametrize(
    "override", ["stream.experiences=0", "learner.epoch=3", "strategies=[naive,ewc]", "learner.beta=0"]
)
def test_no_message_ends_in_a_full_stop(override):
    """A got-value stands at the end, and `0.` is another number."""
    assert not message({}, override).endswith(".")


def test_every_misfit_of_a_layer_is_found_with_its_path():
    found = dict(misfits({"seed": "x", "learner": {"lr": True, "epohcs": 3}, "seeds": [0, "a"], "strategy": {"si": 2}}))
    assert set(found) == {"seed", "learner.lr", "learner.epohcs", "seeds[1]", "strategy.si"}


def test_a_value_that_is_resolved_later_is_no_misfit():
    assert not list(misfits({"seed": "${threads}", "seeds": ["${seed}"], "network": {"hidden": "${seeds}"}}))


def test_key_paths_name_every_key_and_section_once():
    paths = key_paths()
    assert len(paths) == len(set(paths))
    assert {"seed", "network", "network.time_step", "network.time_step.mean", "network.dendrites.gain"} <= set(paths)


def test_a_spec_is_made_of_plain_values_and_integers_become_floats():
    made = construct(Config, {"learner": {"lr": 1, "lr_scale": [1, 2]}, "network": {"time_step": {"mean": 1}}})
    assert (made.learner.lr_scale, type(made.learner.lr), made.network.time_step.mean) == ([1.0, 2.0], float, 1.0)
    assert made == construct(Config, made.plain())
    with pytest.raises(ConfigError, match=r"^network\.time_step\.mean: expected a number in \(0, 1\], got 2"):
        construct(Config, {"network": {"time_step": {"mean": 2}}})


def test_every_key_has_a_meaning():
    assert all(meaning(path) for path in key_paths())
    assert meaning("learner.lr") == LearnerSpec.__dataclass_fields__["lr"].metadata["meaning"]


@pytest.mark.parametrize(("path", "nearest"), [("learner.epoch", "epochs"), ("sed", "seed")])
def test_the_meaning_of_an_unknown_key_is_refused_with_the_nearest(path, nearest):
    with pytest.raises(ConfigError, match=rf"^{path}: unknown key .* did you mean `{nearest}`"):
        meaning(path)


def test_a_value_has_no_keys_below_it():
    with pytest.raises(ConfigError, match=r"^seed\.x: unknown key `x`"):
        meaning("seed.x")
