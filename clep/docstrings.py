"""What docstrings say, in Google's or Sphinx's form."""

import inspect
import re
from typing import Any

_OTHERS = ("Raises", "Returns", "Yields", "Example", "Examples", "Reference", "References")  # without parameters


def summary(docstring: str | None) -> str:
    """A docstring up to its first section, as Markdown.

    Args:
        docstring: as it stands in the source.

    Example:
        >>> summary("Do it.\\n\\n    Args:\\n        rate: how much.")
        'Do it.'
    """
    text = inspect.cleandoc(docstring or "")
    text = re.split(r"\n\s*(?:Args|Attributes|Other arguments|References?|Raises|Example)s?:|\n?:param ", text)[0]
    return text.strip()


def meanings(cls: Any) -> dict[str, str]:
    """Parameter -> its description in the docstrings of a class and its constructor, in Google's or Sphinx's form.

    Args:
        cls: the class, or a function.

    Example:
        >>> from clep.strategies.gem import GEM
        >>> list(meanings(GEM))
        ['patterns_per_experience', 'memory_strength']
    """
    found: dict[str, str] = {}
    name, indent, section = "", 0, ""
    constructor = vars(cls).get("__init__")
    own = [inspect.cleandoc(text) for text in (cls.__doc__, getattr(constructor, "__doc__", None)) if text]
    for line in "\n".join(own).splitlines():
        words, depth = line.strip(), len(line) - len(line.lstrip())
        if title := re.match(r"^([A-Z][\w ]*)(?: \(.*\))?:$", line):
            section = title[1]
        google = section not in _OTHERS and re.match(r"^    (\w+)(?: \(.*\))?: (.*)$", line)
        sphinx = re.match(r"^:param (?:\w+ )?(\w+):\s*(.*)$", words)
        if match := google or sphinx:
            name, indent = match[1], depth
            found[name] = match[2]
        elif words and name and depth > indent:
            found[name] += f" {words}"
        else:
            name = ""
    return found
