"""The pictures of the README: all of them are taken by the script, and none is large."""

import importlib.util
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def screenshots():
    pytest.importorskip("playwright", reason="playwright is not installed")
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "scripts" / "screenshots.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_of_the_readme_is_one_that_the_script_takes_and_small():
    script = (ROOT / "scripts" / "screenshots.py").read_text()
    shown = re.findall(r"!\[[^\]]+\]\((docs/[\w-]+\.png)\)", (ROOT / "README.md").read_text())
    assert len(shown) >= 2
    for picture in shown:
        assert f'"{Path(picture).name}"' in script
        assert (ROOT / picture).stat().st_size < 200_000


def test_a_picture_that_is_too_large_loses_colours_until_it_fits(screenshots, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    drawn = io.BytesIO()
    Image.fromarray(pixels).save(drawn, format="PNG")
    sizes = {}
    for limit in (200_000, 10_000):
        monkeypatch.setattr(screenshots, "LARGEST", limit)
        sizes[limit] = screenshots.write(drawn.getvalue(), tmp_path / f"{limit}.png").stat().st_size
    assert sizes[10_000] < 10_000 < sizes[200_000]
    monkeypatch.setattr(screenshots, "LARGEST", 10)
    with pytest.raises(ValueError, match="with 16 colours; take a smaller part"):
        screenshots.write(drawn.getvalue(), tmp_path / "none.png")
