"""The report and the card of a release: decision first, what is missing said, nothing believed, all of it sealed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from assay.cli.main import run
from assay.errors import ConfigError, EvidenceError
from assay.files import digest_file, digest_of, pretty
from assay.release import card, checking, report, seal
from assay.release.folder import ReleaseFolder
from assay.release.losses import interval, level, loss
from assay.release.pages import pages
from assay.release.stages.base import Gate, Record, from_json
from assay.release.stages.store import Store
from support.released import COUNT, HOSTILE, released, rewritten
from support.releasing import asked, conduct

WRONG = {"Q8_0": [3], "Q6_K": [1, 2, 5, 7, 30], "Q4_0": list(range(60)), "Q2_K": [], "Q3_K_M": []}
SCRIPT = {
    "ptq-Q2_K": {"verdict": "FAIL", "class": "QUANT_COVERAGE_FAILURE"},
    "deploy-Q3_K_M": {"raises": "DEPLOYMENT_HEALTH_FAILED"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of five candidates: two accepted, one worse, one badly quantized, one that did not come up."""
    path = tmp_path_factory.mktemp("made") / "r"
    assert released(path, WRONG, SCRIPT)["recommended"] == "Q6_K"
    return path


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed: without its seal."""
    shutil.copytree(made, tmp_path / "r")
    (tmp_path / "r" / "manifest.json").unlink()
    return tmp_path / "r"


class Page(HTMLParser):
    """The elements of a page and its text, section by section; a page that does not nest is refused."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.sections: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        name = dict(attrs).get("id") if tag == "section" else "header" if tag == "header" else None
        if tag not in ("meta", "link", "br"):
            self._open.append((tag, name or (self._open[-1][1] if self._open else "")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        place = self._open[-1][1] if self._open else ""
        self.sections[place] = self.sections.get(place, "") + data


def read(path: Path) -> Page:
    return Page((path / "report.html").read_text())


def test_the_decision_comes_first_and_then_why(made: Path) -> None:
    text = (made / "report.html").read_text()
    places = [
        text.index(part) for part in ("<h1>Publish Q6_K</h1>", ">ACCEPT<", "the smallest of 2", 'id="candidates"')
    ]
    assert places == sorted(places)


def test_every_candidate_has_its_size_loss_interval_margin_and_end(made: Path) -> None:
    told = read(made).sections["candidates"]
    for part in ("Q8_0", "140 bytes", "0.519", "+1.25", "margin 20 points", "REGRESSION", "recommended"):
        assert part in told
    assert "QUANT_COVERAGE_FAILURE" in told
    assert "DEPLOYMENT_HEALTH_FAILED" in told
    assert told.count("not measured") == 2


def test_numbers_are_those_of_the_comparison(made: Path) -> None:
    decision = orjson.loads((made / "decision.json").read_bytes())
    task = next(point for point in decision["candidates"] if point["candidate"] == "Q6_K")["tasks"][0]
    page = read(made)
    interval = f"[{-100 * task['high']:+.2f}, {-100 * task['low']:+.2f}]"
    assert f"{100 * task['loss']:+.2f}" in page.sections["candidates"]
    assert interval in page.sections["candidates"]
    assert f"{100 * task['low']:+.2f} to {100 * task['high']:+.2f}" in page.sections["differences"]
    assert f"{COUNT} pairs" in page.sections["differences"]


BOUNDS = {"low": -0.05, "low_level": 0.005, "high": 0.03, "high_level": 0.01}


@pytest.mark.parametrize(
    ("better", "delta", "difference", "lost"),
    [
        ("higher_is_better", -0.02, (-0.05, 0.03), (0.02, -0.03, 0.05)),
        ("lower_is_better", 0.02, (-0.03, 0.05), (0.02, -0.03, 0.05)),
        ("higher_is_better", 0.0, (-0.05, 0.03), (0.0, -0.03, 0.05)),
    ],
)
def test_intervals_are_those_that_the_verdict_rests_on(
    better: str, delta: float, difference: tuple[float, float], lost: tuple[float, float, float]
) -> None:
    task = {"delta": delta, "low": -9.0, "high": 9.0, "alpha": 0.01, "direction": better, "gain_bounds": BOUNDS}
    assert interval(task) == difference
    assert loss(task) == lost
    assert level(task) == 0.005
    assert str(loss(task)[0])[0] != "-"
    alone = {**task, "gain_bounds": None}
    assert (interval(alone), level(alone)) == ((-9.0, 9.0), 0.01)


def test_what_changed_is_counted_and_shown_with_both_answers(made: Path) -> None:
    told = read(made).sections["flips"]
    assert "4 of the 5 samples that changed sides in Q6_K" in told
    assert "Is 1 even?" in told
    assert "<script>window.owned=1</script>" in told


def test_what_is_missing_is_said(made: Path) -> None:
    page = read(made)
    assert "unverified: the policy names no published score" in page.sections["published"]
    assert "Not tracked: the spec names no server" in page.sections["tracking"]
    assert "Q8_0: no environment is kept" in page.sections["environments"]
    assert "Q2_K (QUANT_COVERAGE_FAILURE at ptq)" in page.sections["front"]


def test_tracked_runs_are_named_by_their_id_and_others_by_why_not(copied: Path) -> None:
    runs = [
        {"run": "baseline/run", "manifest": "run-0123", "mlflow": "c0ffee"},
        {"run": "candidates/Q8_0/run", "why": "nobody answers <b>there</b>"},
    ]
    content = {
        "schema": "assay.release_tracking.v1",
        "uri": "http://127.0.0.1:1",
        "experiment": "releases",
        "runs": runs,
    }
    (copied / "tracking.json").write_bytes(pretty(content))
    told = Page(report.text(ReleaseFolder(copied))).sections["tracking"]
    for part in ("http://127.0.0.1:1", "c0ffee", "run-0123", "not tracked: nobody answers <b>there</b>"):
        assert part in told


def test_gates_levels_digests_and_times_are_all_there(made: Path) -> None:
    page = read(made)
    for key in ("ptq-Q2_K", "run-baseline", "compare-Q4_0"):
        assert key in page.sections["gates"]
    assert "0.01 for each comparison" in page.sections["alpha"]
    manifests = [orjson.loads(path.read_bytes()) for path in made.glob("candidates/*/run/manifest.json")]
    assert all(
        item["id"] in page.sections["digests"] and item["plan"] in page.sections["digests"] for item in manifests
    )
    assert "deploy-Q3_K_M: DEPLOYMENT_HEALTH_FAILED" in page.sections["time"]
    assert "assay verify DIR" in page.sections["checking"]


def test_the_page_runs_nothing_and_asks_for_nothing(made: Path) -> None:
    page = read(made)
    assert not {"script", "img", "iframe", "link", "object", "form"} & set(page.tags)
    assert not {"src", "style", "onerror", "onload"} & set(page.attributes)
    text = (made / "report.html").read_text()
    assert "default-src &#x27;none&#x27;" in text
    assert not {"\u202e", "\x00"} & set(text)


@pytest.mark.parametrize("place", ["decision.json", "release.json"])
def test_hostile_words_anywhere_stay_words(copied: Path, place: str) -> None:
    value = orjson.loads((copied / place).read_bytes())
    (copied / place).write_bytes(pretty(_spoilt(value)))
    page = Page(report.text(ReleaseFolder(copied)))
    assert not {"script", "img"} & set(page.tags)
    told = card.text(ReleaseFolder(copied))
    assert not {"\u202e", "\x00"} & set(told)
    for line in told.splitlines():
        assert "<script" not in _without_code(line)


def _spoilt(value: Any) -> Any:
    """Every text of a document with something hostile in it, but for those that lead to other parts."""
    if isinstance(value, dict):
        kept = ("schema", "candidate", "recommended", "verdict", "path")
        return {key: part if key in kept else _spoilt(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_spoilt(part) for part in value]
    return f"{value}{HOSTILE}" if isinstance(value, str) else value


def _without_code(line: str) -> str:
    """A line of Markdown without its code spans, by CommonMark's rule: a fence ends at the next of its very length."""
    return re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", line)


def test_both_are_sealed_and_an_edit_is_found(made: Path, tmp_path: Path) -> None:
    folder = ReleaseFolder(made)
    listed = {file["path"]: file["sha256"] for file in seal.read(folder)["files"]}
    for name in ("report.html", "card.md"):
        assert listed[name] == digest_file(made / name)
    assert list(seal.problems(folder, hashed=True)) == []
    shutil.copytree(made, tmp_path / "r")
    (tmp_path / "r" / "card.md").write_text("The best model.")
    assert [name for name, _ in seal.problems(ReleaseFolder(tmp_path / "r"), hashed=True)] == ["card.md"]


def _checked(path: Path, change: Callable[[dict[str, Record]], dict[str, Record]] = lambda found: found) -> list[str]:
    folder = ReleaseFolder(path)
    return [str(finding) for finding in checking.problems(folder, change(Store(folder).records()))]


def test_gates_that_count_are_all_there_and_of_these_runs(made: Path) -> None:
    assert _checked(made) == []
    gates = {key: record.gate for key, record in Store(ReleaseFolder(made)).records().items()}
    other = _checked(made, lambda found: found | {"compare-Q6_K": _gated(found["compare-Q6_K"], gates["compare-Q8_0"])})
    assert len(other) == 1
    assert "is not of the runs of Q6_K" in other[0]


@pytest.mark.parametrize("stage", ["ptq-Q6_K", "deploy-Q6_K", "run-Q6_K", "run-baseline"])
def test_a_comparison_without_a_gate_before_it_is_found(made: Path, stage: str) -> None:
    left_out = _checked(made, lambda found: {key: record for key, record in found.items() if key != stage})
    assert f"stages/compare-Q6_K: compared without the stage {stage}" in left_out
    failed = _checked(made, lambda found: found | {stage: replace(found[stage], status="failed")})
    assert f"stages/compare-Q6_K: compared though {stage} failed" in failed


@pytest.mark.parametrize("stage", ["compare-Q6_K", "run-Q6_K"])
def test_a_gate_that_was_asked_by_another_policy_is_found(copied: Path, stage: str) -> None:
    record = Store(ReleaseFolder(copied)).records()[stage]
    path = copied / str(record.gate and record.gate.file)
    document = orjson.loads(path.read_bytes())
    document["policy"]["content"]["defaults"]["margin"] = 0.9
    path.write_bytes(pretty(document))
    assert any("another policy" in finding for finding in _checked(copied))


def _gated(record: Record, gate: Gate | None) -> Record:
    return replace(record, gate=gate)


def test_the_same_files_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "elsewhere")
    assert report.text(ReleaseFolder(tmp_path / "elsewhere")) == (made / "report.html").read_text()
    assert card.text(ReleaseFolder(tmp_path / "elsewhere")) == (made / "card.md").read_text()


# --- the card --------------------------------------------------------------------------------------------------------


def test_every_claim_of_the_card_names_its_gate_and_the_digest_of_its_evidence(made: Path) -> None:
    text = (made / "card.md").read_text()
    claims = [
        line for line in text.partition("## Claims")[2].partition("## Limitations")[0].splitlines() if "gate `" in line
    ]
    assert len(claims) == 3
    for line in claims:
        file, sha256 = line.rpartition("(gate ")[2].split("`")[5::2][:2]
        assert digest_file(made / file) == sha256
        assert orjson.loads((made / file).read_bytes())["verdict"] in ("PASS", "ACCEPT")


def test_the_card_gives_n_difference_interval_margin_and_level_of_the_released_one_alone(made: Path) -> None:
    text = (made / "card.md").read_text()
    assert "| `parity` | `accuracy` | 80 | 100.00% | 93.75% | -6.25 | -15.72 to +0.48 | 20 points | 0.01 |" in text
    assert not any(name in text for name in ("Q8_0", "Q4_0", "Q2_K"))


def test_a_regression_is_not_released_and_claims_nothing(tmp_path: Path) -> None:
    assert released(tmp_path / "r", {"Q4_0": list(range(60))})["verdict"] == "REGRESSION"
    told = (tmp_path / "r" / "card.md").read_text()
    assert "**Not released.**" in told
    assert "## Claims" not in told and "Measured" not in told
    page = read(tmp_path / "r")
    assert "Do not publish" in page.sections["header"]
    assert "(the one that lost least)" in page.sections["flips"]


def test_an_infeasible_release_says_why_and_draws_nothing(tmp_path: Path) -> None:
    script = {"prepare": {"verdict": "INFEASIBLE", "class": "USER_CONFIG_ERROR"}}
    assert conduct(tmp_path / "r", asked(), script)["verdict"] == "INFEASIBLE"
    page = read(tmp_path / "r")
    assert "Do not publish" in page.sections["header"]
    assert "Nothing was measured" in page.sections["front"]
    assert "prepare says INFEASIBLE" in page.sections["header"]
    assert page.sections["candidates"].count("not tried") == 3
    assert "not released" in (tmp_path / "r" / "card.md").read_text()


@pytest.mark.parametrize(
    "changes",
    [{"verdict": "REGRESSION"}, {"publish": False}, {"recommended": "Q4_0"}, {"recommended": "Q2_K"}],
)
def test_no_edited_decision_gets_a_card_that_its_gates_do_not_support(copied: Path, changes: dict[str, Any]) -> None:
    rewritten(copied / "decision.json", **changes)
    assert "**Not released.**" in card.text(ReleaseFolder(copied))


def test_a_task_that_is_only_shown_is_no_claim(tmp_path: Path) -> None:
    defaults = {"margin": 0.2, "max_gain": 0.9}
    policy = {"schema": "assay.policy.v1", "defaults": defaults, "tasks": {"parity": {"tier": "advisory"}}}
    decision = released(tmp_path / "r", {"Q8_0": []}, policy=policy)
    assert decision["verdict"] != "ACCEPT"
    assert "| `parity`" not in (tmp_path / "r" / "card.md").read_text()


def test_a_card_by_the_point_rule_rules_nothing_out(tmp_path: Path) -> None:
    policy = {"schema": "assay.policy.v1", "defaults": {"margin": 0.2}, "rule": "point"}
    assert released(tmp_path / "r", {"Q8_0": [3]}, policy=policy)["verdict"] == "ACCEPT"
    told = (tmp_path / "r" / "card.md").read_text()
    assert "a larger true loss is not ruled out" in told
    assert "is ruled out at the level" not in told


# --- what is not what it claims to be --------------------------------------------------------------------------------


def test_an_edited_gate_is_refused_by_name(copied: Path) -> None:
    path = next(copied.glob("candidates/Q6_K/run/verdicts/compare-*.json"))
    rewritten(path, verdict="ACCEPT", reasons=["far better"])
    with pytest.raises(EvidenceError, match="compare-"):
        report.text(ReleaseFolder(copied))
    with pytest.raises(EvidenceError, match="compare-"):
        card.text(ReleaseFolder(copied))


@pytest.mark.parametrize("changes", [{"candidates": 5}, {"candidates": [{}]}, {"source": None}, {"alpha": "much"}])
def test_a_damaged_decision_is_an_error_and_no_traceback(copied: Path, changes: dict[str, Any]) -> None:
    before = (copied / "report.html").read_bytes()
    rewritten(copied / "decision.json", **changes)
    with pytest.raises(EvidenceError, match="not what assay writes"):
        report.write(copied)
    assert (copied / "report.html").read_bytes() == before


def test_a_record_that_leads_out_of_the_release_is_refused(copied: Path) -> None:
    path = next((copied / "stages").glob("*-ptq-Q8_0.json"))
    (copied.parent / "secret.json").write_text("{}")
    value = orjson.loads(path.read_bytes())
    value["gate"]["file"] = value["outputs"][0]["path"] = "../secret.json"
    value["outputs"][0]["digest"] = digest_file(copied.parent / "secret.json")
    content = {key: part for key, part in value.items() if key != "id"}
    path.write_bytes(pretty({**content, "id": digest_of(content)[:16]}))
    assert from_json(orjson.loads(path.read_bytes())).key == "ptq-Q8_0"
    with pytest.raises(EvidenceError, match="outside of the release"):
        report.text(ReleaseFolder(copied))


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_names_the_sealed_page_and_writes_another_where_asked(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (made / "report.html").read_bytes()
    assert run(["release", "report", str(made), "--json"]) == 0
    value = orjson.loads(capsys.readouterr().out)
    assert (value["verdict"], value["publish"], value["sealed"]) == ("ACCEPT", True, True)
    assert Path(value["report"]) == made / "report.html"
    assert run(["release", "report", str(made), "--out", str(tmp_path / "page.html")]) == 0
    assert "publish: Q6_K" in capsys.readouterr().out
    assert (tmp_path / "page.html").read_bytes() == before == (made / "report.html").read_bytes()


def test_the_command_refuses_what_would_break_the_seal_or_is_not_decided(made: Path, copied: Path) -> None:
    with pytest.raises(ConfigError, match="inside the release"):
        pages(ReleaseFolder(made), made / "baseline" / "page.html")
    assert not (made / "baseline" / "page.html").exists()
    (copied / "decision.json").unlink()
    with pytest.raises(ConfigError, match="not decided yet"):
        pages(ReleaseFolder(copied))
    with pytest.raises(ConfigError, match="no release was begun"):
        pages(ReleaseFolder(copied / "nowhere"))


def test_a_sealed_release_that_was_changed_gets_no_page(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "r")
    (tmp_path / "r" / "front.json").write_bytes((made / "front.json").read_bytes() + b"\n")
    with pytest.raises(EvidenceError, match=r"front\.json"):
        pages(ReleaseFolder(tmp_path / "r"), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
