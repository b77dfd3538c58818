"""The errors of clep: a part names its parameter, the caller puts the path in front."""

import pytest

from clep import errors
from clep.errors import ClepError, ConfigError, DivergenceError, MissingExtraError, within


def test_the_caller_puts_the_path_in_front_and_keeps_the_cause():
    with pytest.raises(ConfigError) as caught, within("network"), within("time_step"):
        raise ConfigError("mean: expected a number in (0, 1], got 2")
    assert str(caught.value) == "network.time_step.mean: expected a number in (0, 1], got 2"
    assert isinstance(caught.value.__cause__, ConfigError)


@pytest.mark.parametrize("error", [KeyError("x"), DivergenceError("diverged")])
def test_other_errors_pass_as_they_are(error):
    with pytest.raises(type(error)) as caught, within("network"):
        raise error
    assert caught.value is error


def test_every_error_is_a_clep_error_and_one_of_pythons_where_code_would_expect_it():
    raised = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert all(issubclass(e, ClepError) or issubclass(e, Warning) for e in raised)
    assert issubclass(ConfigError, ValueError)
    assert issubclass(MissingExtraError, ImportError)
    assert issubclass(DivergenceError, ArithmeticError)
