"""Read our docstrings as Griffe expects them: a section `Example:` is code, as its `Examples:` is (see mkdocs.yml)."""

import re
from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Call every section `Example:` of a docstring `Examples:`, so that it is rendered as code."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Change the docstring of a module, class, function or attribute when it has been read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
