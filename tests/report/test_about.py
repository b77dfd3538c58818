"""The commands that pages show do what they say."""

import shlex

import pytest

from clep.config import compose, replace, to_dict
from clep.report.about import about_comparison, command
from clep.tracking import tracking_uri

CHANGES = [
    [],
    ["mnist"],
    ["stream=npz", "stream.path=my file's.npz", "seed=3", "strategies=[sleep_replay,ewc]"],
    ["network.hidden=[20,10]", "strategy.sleep_replay.threshold=[0.1,0.2]", "learner.lr=0.5", "cells=[[naive],[ewc]]"],
    ["strategy.a.b:Own.text=yes please", "seeds=[4,5]"],
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("words", ["clep run", "clep compare"])
def test_the_command_that_repeats_composes_the_same_configuration(changes, words):
    name = changes[0] if changes and "=" not in changes[0] else None
    config = compose(name, changes[1:] if name else changes)
    program, verb, *given = shlex.split(command(words, config))
    assert f"{program} {verb}" == words
    again = compose(None, given)
    unread = ("cells", "seeds") if words == "clep run" else ("strategies", "seed")
    same = {key: getattr(config, key) for key in (*unread, "data", "tracking", "tune", "workers")}
    assert to_dict(replace(again, **same)) == to_dict(config)


def test_further_seeds_are_none_of_those_that_were_run():
    about = about_comparison(compose(None, ["seeds=[0,7,3]"]), tracking_uri(None), "abc", [])
    assert shlex.split(about.commands["Add seeds"]) == ["clep", "compare", "--into", "abc", "seeds=[8,9,10]"]


def test_a_store_of_its_own_is_named_without_its_password():
    about = about_comparison(compose(), "http://me:secret@host:5000", "abc", [])
    assert about.commands["Add seeds"].endswith("tracking.uri=http://me:***@host:5000'")
    assert not [text for text in about.commands.values() if "secret" in text]
