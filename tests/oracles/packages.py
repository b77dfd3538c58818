"""Installed packages that register parts, made in a folder of the test."""

import sys


def install(folder, monkeypatch, name, source, **groups):
    """Install a package of one module.

    Args:
        folder: where it goes.
        monkeypatch: takes it away again.
        name: of the distribution; its module is `NAME_module`, whose name is returned.
        source: of the module.
        **groups: kind of part -> {registered name: attribute}.
    """
    place = folder / name
    info = place / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (place / f"{name}_module.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, named in groups.items():
        lines += [f"[clep.{group}]", *(f"{part} = {name}_module:{attribute}" for part, attribute in named.items())]
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]))
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, f"{name}_module", raising=False)
    return f"{name}_module"


def remove(folder, monkeypatch, name):
    """Take an installed package away, as `pip uninstall` does."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(folder / name)])
    sys.modules.pop(f"{name}_module", None)
