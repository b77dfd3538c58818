"""What tells a result from others, and what differs, in words."""

import pytest

from clep.identity import Identity, digest_of

ONE = Identity("c0ffee", "aaaa1111bbbb+cccc", "mine=1234, other=other-0.1+5678", "0.1.0+abcdef012345", "mine.npz")


def other(**changes):
    return Identity(**(ONE.parts | changes), source="mine.npz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"configuration": "cafe"}, ["configuration changed (was c0ffee, is cafe)"]),
        (
            {"data": "dddd2222eeee+cccc"},
            ["data changed: mine.npz, to learn from (was aaaa1111, is dddd2222)"],
        ),
        (
            {"data": "unreadable"},
            ["data changed: mine.npz, to learn from (was aaaa1111, is unreadable)"],
        ),
        (
            {"plugins": "mine=4321, new=99"},
            ["plug-ins changed: mine (was 1234, is 4321), new (was none, is 99), other (was other-0.1+5678, is none)"],
        ),
        (
            {"plugins": "other=other-0.1+5678", "code": "0.2.0+ffff"},
            ["plug-ins changed: mine (was 1234, is none)", "code of clep changed (was 0.1.0+abcdef01, is 0.2.0+ffff)"],
        ),
        ({"code": "0.2.0+fedcba987654"}, ["code of clep changed (was 0.1.0+abcdef01, is 0.2.0+fedcba98)"]),
    ],
)
def test_what_changed_is_said_part_by_part_and_by_name(changes, words):
    now = other(**changes)
    assert now.changed(ONE) == list(changes)
    assert (now.digest != ONE.digest) is bool(changes)
    assert now.differences(ONE) == words


def test_the_tags_of_a_run_give_its_identity_back_and_those_of_an_older_run_none():
    assert Identity.from_tags({"version": "0.1.0", **ONE.tags}) == ONE
    assert ONE.tags["clep.identity"] == ONE.digest
    assert ONE.tags["clep.identity.data"] == "aaaa1111bbbb+cccc"
    assert Identity.from_tags({"version": "0.1.0"}) is None


def test_what_data_are_called_is_no_part_of_the_identity():
    moved = Identity(**ONE.parts, source="elsewhere.npz")
    assert (moved, moved.digest) == (ONE, ONE.digest)


def test_a_digest_is_that_of_the_values():
    assert digest_of({"a": 1, "b": [2, "x"]}) == digest_of({"b": [2, "x"], "a": 1})
    assert len({digest_of(values) for values in ([], [1], ["1"], [[1]], {"1": 1})}) == 5
