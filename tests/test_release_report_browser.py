"""A release's report in a real Chromium, with no network: it asks for nothing, runs nothing, and fits a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from support.released import released

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WRONG = {"Q8_0": [3], "Q6_K": [1, 2, 5, 7, 30], "Q4_K_M": [8], "Q4_0": list(range(60)), "Q2_K": []}
SCRIPT = {"ptq-Q2_K": {"verdict": "FAIL", "class": "QUANT_COVERAGE_FAILURE"}}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "r"
    released(path, WRONG, SCRIPT)
    return path / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")])
def test_it_opens_offline_and_fits(browser: Any, page_file: Path, width: int, scheme: str) -> None:
    context = browser.new_context(offline=True, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said = context.new_page(), []
    page.on("request", lambda request: said.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(page_file.as_uri())
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    assert page.locator("h1").inner_text() == "Publish Q4_K_M"
    assert page.evaluate("window.owned") is None
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert said == [page_file.as_uri()]
    for figure in page.locator(".panels figure").all():
        boxes = [text.bounding_box() for text in figure.locator("text.name").all()]
        assert boxes
        assert not [pair for pair in combinations(boxes, 2) if _meet(*pair)]
    context.close()


def _meet(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two labels lie on one another, by more than the air of a line above and below its letters."""
    across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    return across > 0 and down > 7
