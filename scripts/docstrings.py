"""Make Griffe read the section `Example:` of our docstrings as code, like its own `Examples:` (see mkdocs.yml)."""

import re
from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Rename every section `Example:` of a docstring to `Examples:`, so that it is rendered as code."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Change the docstring of a module, class, function or attribute once it has been read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
