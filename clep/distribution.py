"""The installed distribution: its name, which is not that of the package, and its version."""

from importlib import metadata

NAME = "clep-lab"
"""What `pip install` takes. On the registry, `clep` is another project, whose package is called `clep` as well."""


def version() -> str:
    """The version that is installed.

    Raises:
        ImportError: if only the source is there. Strategies and commands are registered by what installs it.

    Example:
        >>> import clep
        >>> version() == clep.__version__
        True
    """
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        raise ImportError(
            f"clep: its source is here, but the distribution {NAME} is not installed; run `pip install {NAME}`, or "
            "`pip install -e .` in a checkout"
        ) from None
