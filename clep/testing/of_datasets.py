"""What a data set owes: samples that clep can read, the same ones every time, and other ones to test on."""

from clep import streams
from clep.errors import ClepError
from clep.randomness import reproducible
from clep.streams import Stream
from clep.testing.part import Part
from clep.testing.runs import quiet
from clep.testing.subject import CheckFailed


def check_loading(part: Part) -> None:
    """It becomes a stream of two experiences.

    Args:
        part: the data set.

    Raises:
        CheckFailed: if it cannot be read.

    Example:
        >>> from clep.testing import Part
        >>> check_loading(Part("dataset", "digits"))
    """
    _stream(part)


def check_repeats(part: Part) -> None:
    """It is the same every time, whatever was drawn before.

    Args:
        part: the data set.

    Raises:
        CheckFailed: if it is not.
    """
    first, second = _stream(part, drawn=1), _stream(part, drawn=2)
    if first.digests != second.digests:
        raise CheckFailed("it differs from one time to the next; draw from a generator with a seed of its own")


def check_apart(part: Part) -> None:
    """No sample to test on is one to learn from.

    Args:
        part: the data set.

    Raises:
        CheckFailed: if there are some.
    """
    data = _stream(part)
    known = {x.tobytes() for x in data.samples.x.numpy()}
    tested = [x.tobytes() for experience in data.evaluation for x in experience.samples.x.numpy()]
    if twice := sum(x in known for x in tested):
        raise CheckFailed(f"{twice} of {len(tested)} samples to test on are also there to learn from; leave them out")


def _stream(part: Part, drawn: int = 0) -> Stream:
    try:
        with quiet(), reproducible(drawn, threads=1):
            return streams.stream(part.name, experiences=2, dataset_options=part.options)
    except ClepError as error:
        raise CheckFailed(str(error)) from error
