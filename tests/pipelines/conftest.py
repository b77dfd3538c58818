"""A pipeline small enough for tests: real digits, a few samples, one epoch."""

import pytest

SMALL = {
    "stream": {"samples_per_experience": 64},
    "network": {"hidden": [32]},
    "learner": {"epochs": 1, "lr": 0.05},
    "strategy": {"sleep_replay": {"steps": 200}},
}


@pytest.fixture
def small(tmp_path):
    """Configuration whose store is in the test's own folder."""
    return SMALL | {"tracking": {"uri": f"sqlite:///{tmp_path}/mlflow.db"}}


def flat(section, prefix=""):
    """A nested configuration as words of the command line."""
    for key, value in section.items():
        yield from flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}={value}"]
