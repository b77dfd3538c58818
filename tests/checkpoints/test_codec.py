"""Objects as plain values and tensors, and back."""

import json
import random
from collections import Counter, OrderedDict, defaultdict, deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from clep.checkpoints.codec import Decoder, Encoder, Kept, UnsavableError, World
from clep.checkpoints.samples import Store
from clep.errors import DataError


class Own:
    """A class of a strategy's own package."""

    def __init__(self):
        self.hits, self.other = 3, None


def world(**options):
    return World(nn.Linear(2, 2), {}, Store(), packages=frozenset({"tests"}), **options)


def there_and_back(value, here=None):
    here = here or world()
    encoder = Encoder(here)
    plain = json.loads(json.dumps(encoder.encode(value, "value")))
    return Decoder(here, encoder.tensors, plain).decode(plain)


keys = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
values = st.recursive(
    keys | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(values)
def test_numbers_texts_and_containers_come_back(value):
    assert there_and_back(value) == value


def test_every_container_keeps_its_type_and_its_order():
    nested = defaultdict(set, {1: {3, 1}})
    value = [deque([1, 2], maxlen=2), OrderedDict(b=1, a=2), Counter("aab"), nested, frozenset({4}), float("inf")]
    again = there_and_back(value)
    assert again == value
    assert [type(entry) for entry in again] == [type(entry) for entry in value]
    assert again[0].maxlen == 2
    assert list(again[1]) == ["b", "a"]
    assert again[3][7] == set()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
def test_tensors_come_back_to_the_bit(dtype):
    value = torch.randn(3, 4).mul(100).to(dtype)
    again = there_and_back(value)
    assert again.dtype == dtype
    assert torch.equal(again, value)


def test_arrays_and_their_numbers_come_back():
    for value in (np.arange(6, dtype=np.uint16).reshape(2, 3), np.zeros((0, 2)), np.array(True)):
        again = there_and_back(value)
        assert again.dtype == value.dtype
        np.testing.assert_array_equal(again, value)
    assert isinstance(there_and_back(np.float32(0.5)), np.float32)


def test_generators_go_on_where_they_were():
    for make, draw in (
        (lambda: torch.Generator().manual_seed(3), lambda g: torch.rand(3, generator=g).tolist()),
        (lambda: np.random.default_rng(3), lambda g: g.random(3).tolist()),
        (lambda: random.Random(3), lambda g: [g.random(), g.gauss(0, 1)]),
    ):
        generator = make()
        draw(generator)
        again = there_and_back(generator)
        assert draw(again) == draw(generator)


def test_what_is_met_twice_is_one_object_again_also_in_a_circle():
    shared, own = [1], Own()
    own.other = own
    one, two, circle = there_and_back([shared, shared, own])
    assert one is two
    assert circle.other is circle
    assert circle.hits == 3


def test_what_is_one_object_now_and_was_two_becomes_two():
    first, second = Own(), Own()
    first.hits, second.hits = 1, 2
    encoder = Encoder(world())
    plain = encoder.encode({"a": first, "b": second}, "value")
    now = Own()
    again = Decoder(world(), encoder.tensors, plain).decode(plain, existing={"a": now, "b": now})
    assert [again["a"].hits, again["b"].hits] == [1, 2]


def test_parameters_of_the_network_are_named_not_copied():
    here = world()
    weight, data = there_and_back([here.network.weight, here.network.weight.data], here)
    assert weight is here.network.weight
    assert data.data_ptr() == here.network.weight.data_ptr()


def test_a_copy_of_the_network_comes_back_as_a_copy():
    here = world()
    former = here.network_copy()
    with torch.no_grad():
        former.weight.fill_(7.0)
    again = there_and_back(former, here)
    assert again is not here.network
    assert torch.equal(again.weight, former.weight)


def test_what_has_no_form_is_refused_by_its_place():
    def numbers():
        yield 1

    started = numbers()
    next(started)
    for value, what in (([{"at": json.JSONDecoder()}], r"value\[0\]\['at'\] is a json"), (started, "generator")):
        with pytest.raises(UnsavableError, match=what):
            Encoder(world()).encode(value, "value")
    with pytest.raises(UnsavableError, match="made during training"):
        Encoder(world()).encode(lambda: 1, "value.f")


def test_what_was_there_before_training_is_there_again():
    function = json.dumps
    here = world(kept={id(function): Kept(function, {"value"})})
    encoder = Encoder(here)
    plain = encoder.encode(function, "value")
    assert Decoder(here, {}).decode(plain, existing=function) is function


@pytest.mark.parametrize("path", ["os:system", "subprocess:Popen", "torch.nn:Linear", "clep.errors:within", "clep:x.y"])
def test_no_object_is_made_of_a_class_that_the_run_does_not_bring(path):
    form = {"is": "object", "id": 0, "class": path, "attributes": {}}
    with pytest.raises(DataError, match="which no strategy of this run brings"):
        Decoder(world(), {}).decode(form)
