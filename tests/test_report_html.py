from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from assay.errors import EvidenceError
from assay.report import html
from test_report_inputs import HOSTILE, made_up


class Page(HTMLParser):
    """The written page, taken apart."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self.pieces: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        self._open.append(name if name != "script" or "type" not in dict(attributes) else "json")

    def handle_endtag(self, name):
        while self._open and self._open.pop() not in (name, "json" if name == "script" else name):
            pass

    def handle_data(self, data):
        if self._open:
            self.inside.setdefault(self._open[-1], []).append(data)
        if not {"json", "script", "style"} & set(self._open):
            self.pieces.append(data)

    @property
    def data(self):
        return json.loads("".join(self.inside["json"]))

    @property
    def text(self):
        return " ".join(" ".join(self.pieces).split())

    @property
    def policy(self):
        return next(
            a["content"] for n, a in self.elements if n == "meta" and a.get("http-equiv") == "Content-Security-Policy"
        )


def written(tmp_path, run, **options):
    path = tmp_path / "report.html"
    html.write(path, run.results, run.plan, iter(run.entries), run.render, **options)
    return Page(path)


def test_the_page_refers_to_nothing_outside_itself(tmp_path):
    page = written(tmp_path, made_up(hostile=True))
    for name, attributes in page.elements:
        assert name not in {"link", "img", "iframe", "object", "embed", "base", "audio", "video", "source"}
        assert not {"src", "srcset", "style", "action"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
        assert not any(key.startswith("on") for key in attributes)
    assert "url(" not in page.source.split("</style>")[0] and "@import" not in page.source


def test_the_policy_allows_the_two_parts_of_the_page_and_nothing_else(tmp_path):
    page = written(tmp_path, made_up())

    def source(name):
        return (
            "'sha256-" + base64.b64encode(hashlib.sha256("".join(page.inside[name]).encode()).digest()).decode() + "'"
        )

    assert page.policy == (
        f"default-src 'none'; script-src {source('script')}; style-src {source('style')}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_hostile_text_is_data_and_nothing_else(tmp_path):
    run = made_up(hostile=True)
    run.results["name"] = run.plan["name"] = HOSTILE
    run.results["flags"][0]["message"] = HOSTILE
    run.plan["models"][HOSTILE] = {"name": HOSTILE, "identity": {HOSTILE: HOSTILE}}
    page = written(tmp_path, run)
    assert [name for name, _ in page.elements].count("script") == 2
    assert not [name for name, _ in page.elements if name == "img"]
    assert HOSTILE in [entry["completion"]["text"] for entry in page.data["entries"] if entry["completion"]]


def test_the_numbers_on_the_page_are_those_of_the_results(tmp_path):
    run = made_up(models=("smollm2-135m", "openai:gpt-4.1-mini"))
    text = written(tmp_path, run).text
    for cell in run.results["cells"]:
        metric = cell["metrics"][0]
        assert f"{100 * metric['value']:.1f}%" in text
        assert f"{100 * metric['low']:.1f}–{100 * metric['high']:.1f}%" in text
        assert f"{100 * cell['rates']['ok']:.1f}% ok" in text
    assert "Complete: all 480 attempts finished." in text
    assert "0.0738 USD" in text and "CC BY 4.0" in text and run.plan["digest"] in text


def test_an_unfinished_synthetic_run_says_so(tmp_path):
    text = written(tmp_path, made_up(unfinished=5, synthetic=True)).text
    assert all(f"{100 * cell['rates']['ok']:.1f}% ok" in text for cell in made_up(unfinished=5).results["cells"])
    assert "Incomplete." in text and "210 of 240 attempts finished" in text and "unfinished 5" in text
    assert "Synthetic." in text and "no gate accepts this run" in text


def test_a_complete_real_run_says_neither(tmp_path):
    text = written(tmp_path, made_up()).text
    assert "Incomplete" not in text and "Synthetic" not in text


def test_anomalies_come_before_everything_else(tmp_path):
    run = made_up()
    run.results["anomalies"] = ["humaneval: 2 of 20 reference solutions failed", HOSTILE]
    text = written(tmp_path, run).text
    assert "To note ANOMALOUS humaneval: 2 of 20 reference solutions failed ANOMALOUS" in text
    assert text.index("ANOMALOUS") < text.index("5.0% of the answers were cut") < text.index("95% Wilson")
    run.results["flags"] = []
    assert "To note ANOMALOUS" in written(tmp_path, run).text


def test_given_completions_were_not_timed(tmp_path):
    run = made_up(tasks=("humaneval",), given=True, bad=0.0)
    run.results["seconds"] = 0.0
    page = written(tmp_path, run)
    assert "The completions were given: none was generated here, and nothing was timed." in page.text
    assert "Time not timed Tokens in, out – " in page.text and "0.0 s" not in page.text
    assert not {"latency", "throughput"} & {attributes.get("id") for _, attributes in page.elements}
    assert page.data["entries"][0]["seed"] is None
    timed = written(tmp_path, made_up()).text
    assert "were given" not in timed and "Latency" in timed and "Throughput" in timed


def test_entries_are_read_once_and_only_those_shown_are_rendered(tmp_path):
    run = made_up(samples=100)
    page = written(tmp_path, run, limit=50)
    assert len(page.data["entries"]) == len(run.rendered) == 50
    assert "50 of 600 attempts are embedded here" in page.text and "assay.open(path)" in page.text
    indices = [entry["index"] for entry in page.data["entries"]]
    assert indices == sorted(indices)


def test_the_page_keeps_to_its_size(tmp_path):
    run = made_up(samples=100)
    page = written(tmp_path, run, max_bytes=20_000)
    data = re.search(r'"entries":\[(.*)\]}</script>', page.source, re.S)
    assert data is not None and 10_000 < len(data[1].encode()) <= 21_000
    assert f"{len(page.data['entries'])} of 600 attempts" in page.text


def test_no_entry_at_all(tmp_path):
    run = made_up(samples=10)
    page = written(tmp_path, run, limit=0)
    assert page.data["entries"] == [] and run.rendered == []
    assert "No sample is embedded here; the run holds 60 attempts" in page.text


def test_a_prompt_that_cannot_be_rebuilt_is_named_on_the_page(tmp_path):
    run = made_up(samples=2)

    def render(entry):
        raise EvidenceError("samples/piqa.jsonl: no such file")

    html.write(tmp_path / "report.html", run.results, run.plan, run.entries, render)
    found = Page(tmp_path / "report.html").data["entries"]
    assert {entry["missing"] for entry in found} == {"samples/piqa.jsonl: no such file"}


def test_nothing_finished_yet(tmp_path):
    run = made_up(samples=3, unfinished=3)
    run.results["throughput"] = []
    text = written(tmp_path, run).text
    assert "No attempt was timed." in text and "Not scored." in text and "too short" in text


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    first, second = (written(tmp_path, made_up(samples=90), limit=40).source for _ in range(2))
    assert first == second


def test_a_failure_leaves_the_old_page_alone(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    run = made_up(samples=2)

    def broken():
        yield run.entries[0]
        raise RuntimeError("the journal ended early")

    with pytest.raises(RuntimeError):
        html.write(path, run.results, run.plan, broken(), run.render)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_every_drawing_has_its_words_and_every_control_its_label(tmp_path):
    page = written(tmp_path, made_up())
    assert all(a.get("aria-hidden") == "true" or "viewbox" in a for n, a in page.elements if n == "svg")
    ids = {a["id"] for _, a in page.elements if "id" in a}
    assert all(a["aria-labelledby"] in ids for n, a in page.elements if n == "section" and "aria-labelledby" in a)
    assert {a["href"][1:] for n, a in page.elements if n == "a" and a["href"] != "#"} <= ids
    names = [name for name, _ in page.elements]
    assert names.count("label") == names.count("select") + names.count("input") == 4
    assert all(a.get("scope") in ("col", "row") for n, a in page.elements if n == "th")
