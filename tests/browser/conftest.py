"""A headless Chromium, driven by playwright; tests skip with a reason where there is none.

With `CLEP_REQUIRE_BROWSER=1`, as in `.ci/run`, a missing browser is a failure.
"""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def missing(reason):
    """Skip, or fail where a browser must be."""
    if os.environ.get("CLEP_REQUIRE_BROWSER") == "1":
        pytest.fail(f"CLEP_REQUIRE_BROWSER: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed; `pip install playwright` brings it")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing(f"there is no browser ({', '.join(NAMES)}); `apt-get install chromium` brings one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Tab:
    """A page of the browser, with whatever went wrong in it."""

    def __init__(self, page):
        self.page, self.errors = page, []
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda r: r.url.startswith("http") and self.errors.append(f"asked for {r.url}"))

    def show(self, file):
        """Open a file."""
        self.page.goto(file.as_uri())
        return self.page


@pytest.fixture(params=[420, 1200], ids="{} px".format)
def tab(chromium, request):
    page = chromium.new_page(viewport={"width": request.param, "height": 900})
    yield Tab(page)
    page.close()
