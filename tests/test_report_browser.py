"""The page in a real Chromium, with no network: it asks for nothing, runs nothing foreign, and works."""

from __future__ import annotations

import shutil

import pytest

from assay.report import html
from assay.report.entry import outcome_of, primary_names, verdict
from test_report_inputs import HOSTILE, made_up
from test_report_judged import judged_of

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
def opened(browser, tmp_path):
    """Open a made-up run's page offline; in the end it must have asked for nothing and complained of nothing."""
    contexts, requests, complaints = [], [], []

    def open_(run, *, path=tmp_path / "report.html", size=(1280, 900), scheme="light", **options):
        html.write(path, run.results, run.plan, run.entries, run.render, **options)
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(offline=True, viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        assert requests.pop(0) == path.as_uri()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert requests == []
    assert complaints == []


def items(page):
    return page.locator("#list .item")


def matches(page):
    return page.locator("#tally").inner_text()


def choose(page, **wanted):
    for name, value in wanted.items():
        page.locator(f"#filters select[name={name}]").select_option(value)


def test_filters_narrow_the_samples_to_what_they_say(opened):
    run = made_up(samples=40, bad=0.2)
    page, primaries, total = opened(run, limit=1000), primary_names(run.results), len(run.entries)
    assert matches(page) == f"{total} of {total}" and items(page).count() == total

    def expected(cell, outcome, result):
        return sum(
            (cell is None or entry.attempt["cell"] == cell)
            and (outcome is None or outcome_of(entry) == outcome)
            and (result is None or verdict(entry, primaries.get(entry.attempt["cell"]))[0] == result)
            for entry in run.entries
        )

    choose(page, cell="1")
    assert matches(page) == f"{expected(1, None, None)} of {total}"
    choose(page, result="wrong")
    assert matches(page) == f"{expected(1, None, 'wrong')} of {total}"
    choose(page, cell="", result="", outcome="scorer_error")
    assert matches(page) == f"{expected(None, 'scorer_error', None)} of {total}" != f"0 of {total}"
    assert "no number in the target" in page.locator("#sample").inner_text()
    choose(page, outcome="skipped")
    assert matches(page) == f"0 of {total}" and "No sample matches" in page.locator("#list").inner_text()


def test_search_looks_into_prompts_and_completions(opened):
    run = made_up(samples=20, bad=0.0)
    page = opened(run)
    page.locator("#filters input[name=text]").fill("CHOPPING BOARD")
    assert matches(page) == f"{sum('piqa' in entry.attempt['sample'] for entry in run.entries)} of 120"
    page.locator("#filters input[name=text]").fill(run.entries[77].attempt["attempt"])
    assert matches(page) == "1 of 120"


def test_keys_walk_through_the_samples(opened):
    page = opened(made_up(samples=20))
    heading = page.locator("#sample h3")
    names = [items(page).nth(index).locator("b").inner_text() for index in range(3)]
    assert heading.inner_text() == names[0]
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert heading.inner_text() == names[2]
    assert page.locator("#list [aria-selected=true]").count() == 1
    assert page.locator("#list").get_attribute("aria-activedescendant") == "option-2"
    page.keyboard.press("k")
    assert heading.inner_text() == names[1]
    page.keyboard.press("/")
    page.keyboard.type("jk")
    assert page.locator("#filters input").input_value() == "jk"
    page.locator("#filters input").fill("")
    page.locator("#list").focus()
    page.keyboard.press("End")
    assert items(page).last.get_attribute("aria-selected") == "true"


def test_a_sample_shows_what_was_asked_answered_and_why(opened):
    run = made_up(samples=30, bad=0.0)
    page = opened(run)
    chat = next(e for e in run.entries if "boolq" in e.attempt["sample"])
    page.locator("#filters input").fill(chat.attempt["attempt"])
    text = page.locator("#sample").inner_text()
    assert page.locator("#sample .turn > span").all_inner_texts() == [
        "system",
        *(["user", "assistant"] * 3),
        "user",
    ]
    for said in (
        "Is a tide pool by the sea?",
        "“yes” is expected",
        "boolq/900, boolq/901, boolq/902",
        "normalized_exact_match",
    ):
        assert said in text
    assert str(chat.attempt["seed"]) in text and chat.attempt["seed"] > 2**53
    choices = next(e for e in run.entries if "piqa" in e.attempt["sample"])
    page.locator("#filters input").fill(choices.attempt["attempt"])
    rows = page.locator("#sample table").first.locator("tbody tr").all_inner_texts()
    assert "right answer" in rows[0] and sum("most likely" in row for row in rows) == 1


def test_hostile_text_is_inert_and_shown_as_it_is(opened):
    run = made_up(samples=3, hostile=True, bad=0.0)
    run.results["name"] = HOSTILE
    run.results["flags"][0]["message"] = HOSTILE
    page = opened(run)
    for index in range(items(page).count()):
        items(page).nth(index).click()
    items(page).first.click()
    assert page.evaluate("window.owned") is None
    assert page.locator("img, iframe, main script, header script, #sample svg, #list svg").count() == 0
    shown = page.locator("#sample pre.answer").inner_text()
    assert "</script><script>window.owned=1</script><img src=x onerror='window.owned=2'>" in shown
    assert "U+202E" in shown and "U+0000" in shown and "\u202e" not in shown
    assert "<script>window.owned=1" in page.locator("h1").inner_text()


def test_the_policy_holds_in_the_browser(browser, tmp_path):
    run = made_up(samples=2)
    html.write(tmp_path / "report.html", run.results, run.plan, run.entries, run.render)
    page = browser.new_page()
    answered, blocked = [], []
    page.on("requestfinished", lambda request: answered.append(request.url))
    page.on("requestfailed", lambda request: blocked.append(request.failure))
    page.goto((tmp_path / "report.html").as_uri())
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.injected = 1";
            document.body.append(script);
            const image = document.createElement("img");
            image.src = "https://example.invalid/x.png";
            document.body.append(image);
            document.body.setAttribute("style", "color: red");
        }"""
    )
    assert "failed" in page.evaluate("fetch('https://example.invalid/').catch(() => 'failed')")
    assert page.evaluate("window.injected") is None
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    assert answered == [(tmp_path / "report.html").as_uri()]
    assert set(blocked) <= {"csp"}
    page.close()


def test_the_table_of_cells_sorts(opened):
    page = opened(made_up(models=("a", "b", "c")))
    heading = page.locator("table.cells th", has=page.get_by_role("button", name="score", exact=True))
    column = heading.evaluate("each => each.cellIndex")

    def values():
        return [
            float(v)
            for v in page.locator(f"table.cells tbody tr > :nth-child({column + 1})").evaluate_all(
                "l => l.map(e => e.dataset.sort)"
            )
        ]

    before = values()
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending" and values() == sorted(before) != before
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending" and values() == sorted(before, reverse=True)


def test_a_cell_of_the_table_leads_to_its_samples(opened):
    run = made_up(samples=10, bad=0.0)
    page = opened(run)
    page.locator("table.cells a[data-cell='4']").click()
    assert page.locator("#filters select[name=cell]").input_value() == "4"
    assert matches(page) == "10 of 60"


def test_an_execution_shows_what_the_program_did(opened):
    run = made_up(tasks=("humaneval",), samples=30, bad=0.0)
    page = opened(run)
    failed = next(e for e in run.entries if e.scores[0]["execution"]["status"] == "failed")
    page.locator("#filters input").fill(failed.attempt["attempt"])
    text = page.locator("#sample").inner_text()
    for said in (
        "What failed, line 7 of the tests",
        "assert f([2, 1]) == [1, 2]",
        "AssertionError",
        "stdout",
        "stderr",
    ):
        assert said in text
    for said in ("status\nfailed", "tests passed\n2 of 3", "CPU time\n2.1 ms", "peak memory\n12.5 MB", "tier\nfull"):
        assert said in text
    assert "got\n[1]" in text.replace("\n\n", "\n") and "forgeable\nno" in text
    page.locator("#filters input").fill("crashed")
    assert "signal\nSIGSEGV" in page.locator("#sample").inner_text()
    assert "wrong (crashed)" in page.locator("#list").inner_text()


def test_what_a_program_printed_and_returned_is_inert(opened):
    page = opened(made_up(tasks=("humaneval",), samples=30, hostile=True, bad=0.0))
    for index in range(items(page).count()):
        items(page).nth(index).click()
    page.locator("#filters input").fill("window.owned")
    assert page.evaluate("window.owned") is None
    assert page.locator("#sample img, #sample script, #sample svg").count() == 0
    assert page.locator("#sample").inner_text().count("<script>window.owned=1</script>") >= 5
    assert "\u202e" not in page.locator("#sample").inner_text()


BROKEN = """() => {
    const texts = document.createTreeWalker(document.querySelector("#sample"), NodeFilter.SHOW_TEXT);
    const broken = [], range = document.createRange();
    while (texts.nextNode()) {
        const node = texts.currentNode;
        for (const word of node.parentElement.closest("pre") ? [] : node.data.matchAll(/\\S{1,20}/g)) {
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            if (new Set([...range.getClientRects()].map((each) => each.top)).size > 1) broken.push(word[0]);
        }
    }
    return broken;
}"""


@pytest.mark.parametrize("width", [1280, 390])
def test_no_word_of_a_sample_is_broken(opened, width):
    page = opened(made_up(tasks=("humaneval",), samples=10, bad=0.0), size=(width, 844))
    for index in range(items(page).count()):
        items(page).nth(index).click()
        assert page.evaluate(BROKEN) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


CONTRASTS = """() => {
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const light = (part) => linear(part / 255);
    const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
    const behind = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const colour = rgb(getComputedStyle(each).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const element of document.querySelectorAll("body *:not(script):not(title)")) {
        if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
        const style = getComputedStyle(element);
        const colour = element.ownerSVGElement ? style.fill : style.color;
        const pair = [luminance(rgb(colour)), luminance(behind(element))].sort((a, b) => b - a);
        found.push([(pair[0] + 0.05) / (pair[1] + 0.05), element.outerHTML.slice(0, 80)]);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_both_schemes(opened, scheme):
    run = made_up(synthetic=True, unfinished=2, hostile=True, tasks=("piqa", "gsm8k", "humaneval"))
    run.results["anomalies"] = ["humaneval: 1 of 20 reference solutions failed"]
    run.results["executed"]["humaneval"]["control"]["failed"] = {"HumanEval/3": "failed"}
    page = opened(run, scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) > 382) == (scheme == "light")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 300
    assert [where for ratio, where in contrasts if ratio < 4.5] == []


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out_of_the_window(opened, width):
    tasks = ("piqa", "boolq", "humaneval")
    run = made_up(models=("a-model-with-quite-a-long-name:7b-instruct-q4_k_m", "b"), tasks=tasks, hostile=True)
    page = opened(run, size=(width, 844))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_intervals_lie_where_the_numbers_say(opened):
    run = made_up(prompts=("default@1",), tasks=("piqa",), bad=0.0)
    page, metric = opened(run), run.results["cells"][0]["metrics"][0]
    track = page.locator(".intervals svg").first.bounding_box()
    dot = page.locator(".intervals .dot").first.bounding_box()
    line = page.locator(".intervals line.interval").first
    middle = dot["x"] + dot["width"] / 2 - track["x"]
    assert middle / track["width"] == pytest.approx(metric["value"], abs=0.01)
    assert line.get_attribute("x1") == f"{100 * metric['low']:.2f}%"
    assert line.get_attribute("x2") == f"{100 * metric['high']:.2f}%"


def test_the_judged_section_shows_and_what_judges_wrote_is_inert(opened):
    run = made_up(samples=10, bad=0.0)
    page = opened(run, judged=judged_of(run, HOSTILE))
    page.locator("nav a[href='#judged']").click()
    section = page.locator("#judged")
    assert section.is_visible()
    assert section.locator("tbody tr").count() == len(run.results["cells"])
    assert section.locator("svg circle").count() == len(run.results["cells"])
    assert "3.5" in section.locator("tbody tr").first.inner_text()
    shown = page.locator("#sample").inner_text()
    assert "ada (person) by fit-v1" in shown and "<img src=x onerror='window.owned=2'>" in shown
    assert "U+202E" in shown and "\u202e" not in shown
    assert page.evaluate("window.owned") is None
    page.locator("#cells table a").first.click()
    assert page.locator("#filters select[name=cell]").input_value() != ""
