"""The pictures of README and documentation, taken anew from a real run in headless Chromium.

    .venv/bin/python scripts/screenshots.py                      # runs `clep compare` first, a minute or two
    .venv/bin/python scripts/screenshots.py ID --tracking URI    # of a comparison that a store holds

It needs Chromium and the extra `dev`.
"""

import argparse
import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import clep
from clep import tracking

DOCS = Path(__file__).parent.parent / "docs"
LARGEST = 200_000  # bytes of a picture
_PAGE, _NARROW, _MLFLOW = (1200, 1700), (420, 1290), (1500, 1000)  # pixels of a picture


def main() -> None:
    """Take all pictures and write them into `docs`."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("comparison", nargs="?", metavar="ID", help="a comparison (default: run one)")
    parser.add_argument("--tracking", metavar="URI", help="its store (default: mlflow.db in this folder)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uri = tracking.tracking_uri(given.tracking if given.comparison else f"sqlite:///{folder}/mlflow.db")
        run_id = given.comparison or clep.compare({"tracking": {"uri": uri}, "workers": 2}).parent_run_id
        for path in take(run_id, uri, DOCS):
            print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")


def take(run_id: str, uri: str, folder: Path) -> Iterator[Path]:
    """Take the pictures of a comparison.

    Args:
        run_id: the comparison.
        uri: its store.
        folder: where the pictures go.

    Returns:
        Their paths, as they are written.
    """
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with (
        sync_playwright() as playwright,
        served(run_id, uri) as link,
        tracking.artifacts(uri, run_id, "report.html") as page,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield write(of_page(browser, page, *_PAGE), folder / "page.png")
        yield write(of_page(browser, page, *_NARROW), folder / "page-narrow.png")
        yield write(of_mlflow(browser, link), folder / "mlflow.png")
        browser.close()
    with tracking.artifacts(uri, run_id, "comparison.png") as figure:
        yield Path(shutil.copy(figure, folder / "comparison.png"))


@contextmanager
def served(run_id: str, uri: str) -> Iterator[str]:
    """The link that `clep ui` prints, while it runs."""
    command = [sys.executable, "-m", "clep", "ui", run_id, "--tracking", uri, "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield next(link for line in process.stdout or () for link in re.findall(r"http\S+", line))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def of_page(browser: Browser, file: Path, width: int, height: int) -> bytes:
    """The top of a page of clep."""
    page = _tab(browser, width, height)
    page.goto(file.as_uri())
    return page.screenshot()


def of_mlflow(browser: Browser, link: str) -> bytes:
    """The charts of a comparison in MLflow, without the panel of its assistant."""
    page = _tab(browser, *_MLFLOW)
    page.goto(link)
    page.locator(".plot-container .bars .point").first.wait_for(timeout=120_000)
    if (assistant := page.get_by_text("MLflow Assistant")).count():
        assistant.locator("xpath=ancestor::div[.//button][1]").get_by_role("button").last.click()
    page.wait_for_timeout(3000)  # charts are drawn again at their new width
    return page.screenshot()


def write(picture: bytes, path: Path) -> Path:
    """Write a picture with as many colours as its size allows.

    Raises:
        ValueError: if 16 colours are still too many.
    """
    with Image.open(io.BytesIO(picture)) as image:
        full = image.convert("RGB")
    for colours in (256, 128, 64, 32, 16):
        full.quantize(colours, dither=Image.Dither.NONE).save(path, format="PNG", optimize=True)
        if path.stat().st_size < LARGEST:
            return path
    raise ValueError(f"{path}: {path.stat().st_size} bytes with 16 colours; take a smaller part of the page")


def _tab(browser: Browser, width: int, height: int) -> Page:
    return browser.new_page(viewport={"width": width, "height": height})


if __name__ == "__main__":
    main()
