"""New parts to start from: `clep new` writes a package that can be installed and passes its own tests."""

from clep.scaffold.writing import KINDS, Scaffold, new

__all__ = ["KINDS", "Scaffold", "new"]
