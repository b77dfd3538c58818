"""Any value under any key, any YAML in a file, any claim: a configuration, or a refusal that names the key."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clep import claims
from clep.build import build_stream, build_training, resolved
from clep.config import compose, to_yaml
from clep.errors import ClepError
from clep.schema import key_paths

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

FUZZ = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
KEYS = [key for key in key_paths() if not key.startswith(("tracking", "data"))]
ODD = [
    *("null", "true", "yes", "~", "''", "[]", "{}", "[[]]", "[null]", "{a: {b: c}}", "010", "1:30", "0x1F", "-0.0"),
    *(".nan", "-.inf", "1e999", "9" * 30, "9" * 5000, "-1", "2147483648", "9223372036854775807", "1e-320", "${seed}"),
    *(
        "${",
        "*a",
        "&a [*a]",
        "!!python/name:os.system ''",
        "!!binary x",
        "[" * 600,
        "{a: " * 600,
        "a:b",
        ":",
        "\\",
        "%",
    ),
    *("[1, 1]", "[0, a]", "[a, b]", "é", "\x7f", "2020-01-01", "<<: 1", "- 1", "|\n a", "[1e400]", "[-1]", "[true]"),
]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
VALUES = st.one_of(st.sampled_from(ODD), st.text(max_size=12), PLAIN.map(str), st.floats().map(str))
CHANGES = st.builds("{}={}".format, st.sampled_from(KEYS) | st.text(max_size=8), VALUES)


def outcome(call):
    """What a call returns, or None for a refusal; any other error fails the test."""
    try:
        return call()
    except ClepError as error:
        message = str(error)
    assert ":" in message
    assert len(message) < 4000
    return None


@FUZZ
@given(st.lists(CHANGES, min_size=1, max_size=2))
def test_any_value_under_any_key(changes):
    config = outcome(lambda: compose(None, changes))
    if config is not None:
        assert compose(None, changes) == config
        to_yaml(config)


@settings(FUZZ, max_examples=150)
@example("network.kernel", "[1, 1]")
@given(st.sampled_from([key for key in KEYS if key.startswith(("stream", "network", "learner"))]), VALUES)
def test_what_is_accepted_can_be_built(key, value):
    """All but names of files, which would be looked for, and numbers that only take long."""
    config = outcome(lambda: compose(None, [f"{key}={value}"]))
    if config is not None:
        outcome(lambda: build_training(resolved(config), build_stream(config)))


@FUZZ
@given(
    st.dictionaries(st.sampled_from([key.partition(".")[0] for key in KEYS]) | st.text(max_size=5), PLAIN, max_size=3)
)
def test_any_mapping(values):
    outcome(lambda: compose(values))


@FUZZ
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
def test_any_file(tmp_path, content):
    (tmp_path / "mine.yaml").write_bytes(content)
    outcome(lambda: compose(str(tmp_path / "mine.yaml")))


CLAIM = """claim: one sentence
seeds: [0, 1]
cells:
  naive: {set: [strategies=naive], published: 0.2}
  joint: {set: [strategies=joint]}
compare: [[joint, naive]]
"""


@FUZZ
@given(st.data())
def test_any_claim(tmp_path, data):
    lines = CLAIM.splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    key = data.draw(
        st.sampled_from(["claim", "seeds", "cells", "compare", "set", "small", "grid", "columns", "config"])
    )
    lines[place] = data.draw(st.one_of(VALUES.map(lambda value: f"{key}: {value}"), VALUES, st.just(lines[place])))
    path = tmp_path / "mine.yaml"
    path.write_bytes("\n".join(lines).encode("utf-8", "replace"))
    claim = outcome(lambda: claims.read(path, "mine.yaml"))
    if claim is not None:
        outcome(lambda: list(claim.composed()))
        labels = [cell.label for cell in claim.cells]
        assert len(labels) == len(set(labels))
        assert len(claim.seeds) == len(set(claim.seeds)) > 0
