"""Domain-incremental: all classes in every experience, with the images turned by another angle each time."""

from torch import Tensor

from clep.datasets import Dataset
from clep.errors import ConfigError
from clep.streams import Samples, Stream, stream_of


def rotated(data: Dataset, *, experiences: int, angles: list[float] | None = None) -> Stream:
    """Every experience has all samples, turned by an angle of its own.

    Args:
        data: the data set, of images; it is held once for each experience.
        experiences: number of angles.
        angles: in degrees, counter-clockwise, one for each experience; by default equal steps from 0 to below 180.

    Raises:
        ConfigError: for vectors, or another number of angles.

    Example:
        >>> from clep.streams import stream
        >>> options = {"angles": [0, 15]}
        >>> made = stream("digits", scenario="rotated", experiences=2, scenario_options=options)
        >>> [experience.name for experience in made.test]
        ['0 degrees', '15 degrees']
    """
    if data.x_train.ndim != 4:
        raise ConfigError(f"scenario: `rotated` turns images, but `{data.name}` has vectors; use `permuted`")
    if angles is None:
        angles = [180 * i / experiences for i in range(experiences)]
    if len(angles) != experiences:
        got = f"{len(angles)} of them for {experiences} experiences"
        raise ConfigError(f"scenario_options.angles: {got}; set stream.experiences={len(angles)}")
    train, test = (
        [Samples(_turned(x, angle), y) for angle in angles]
        for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test))
    )
    return stream_of(data, train, test, names=[f"{angle:g} degrees" for angle in angles])


def _turned(x: Tensor, angle: float) -> Tensor:
    """Images (N, C, H, W) turned around their centre; what comes in from outside is 0."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as images  # takes seconds to import

    turned: Tensor = images.rotate(x, angle, interpolation=InterpolationMode.BILINEAR)
    return turned
