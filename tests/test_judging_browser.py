"""The page in a real Chromium, with no network: filled in by keyboard, saved, opened again, applied."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from assay import judged
from support.judging import export, run
from support.stub import Stub

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def opened(browser):
    """Open a page offline; in the end it must have asked for nothing and complained of nothing."""
    contexts, asked, complaints = [], [], []

    def open_(path: Path):
        context = browser.new_context(offline=True, accept_downloads=True, viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        asked.remove(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith("blob:")] == []
    assert complaints == []


def saved(page, path: Path) -> Path:
    """The answers that the key `s` saves."""
    with page.expect_download() as caught:
        page.keyboard.press("s")
    caught.value.save_as(path)
    return path


def answer(page, fit: str, ease: str) -> None:
    """Fill one candidate in: a level by its digit, the number in its field."""
    page.keyboard.press(fit)
    page.locator("input[type=number]").fill(ease)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")


def test_a_page_filled_in_by_keyboard_is_applied(opened, tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 4)
    queue = export(made, tmp_path / "q.html", anchors=True)
    page = opened(tmp_path / "q.html")
    state = page.locator("#state")
    assert state.inner_text().startswith("1 of 6 · 0 judged, 6 to do")
    for item in queue.items:
        assert page.locator(".answer pre").inner_text() == item.row["text"]
        answer(page, "1" if item.row["text"] == "Perhaps." else "3", "0" if item.row["text"] == "Perhaps." else "1")
        page.keyboard.press("j")
    assert "6 judged, 0 to do" in state.inner_text()
    page.keyboard.press("c")
    page.keyboard.type("jjs is a comment, no command")
    page.keyboard.press("Escape")
    answers = saved(page, tmp_path / "answers.json")
    assert orjson.loads(answers.read_bytes())["rows"][-1]["comment"] == "jjs is a comment, no command"
    batch = judged.apply(answers, "ada", [made.path])
    assert (batch.count("candidate"), batch.count("anchor"), batch.checks.marked) == (4, 2, [])
    assert made.verify() == []


def test_off_the_scale_is_not_taken_and_answers_can_be_opened_again(opened, tmp_path: Path, stub: Stub):
    export(run(tmp_path, stub, 3), tmp_path / "q.html")
    page = opened(tmp_path / "q.html")
    page.keyboard.press("7")
    answer(page, "2", "1.5")
    assert "numbers from 0 to 1" in page.locator("#state").inner_text()
    answer(page, "2", "0.25")
    answers = saved(page, tmp_path / "answers.json")
    assert orjson.loads(answers.read_bytes())["rows"][0]["scores"] == {"fit": 2, "ease": 0.25}
    again = opened(tmp_path / "q.html")
    again.locator("#open").set_input_files(answers)
    again.locator("#state", has_text="3 rows read").wait_for()
    assert "1 judged, 2 to do" in again.locator("#state").inner_text()
    again.keyboard.press("n")
    assert again.locator("#state").inner_text().startswith("2 of 3")
