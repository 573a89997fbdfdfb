"""Inspect: both forms of a log, epochs, grades; what ended badly is an outcome or a refusal, never a wrong answer."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from assay.errors import ConfigError
from assay.importing import import_run
from support.foreign import inspect_log, inspect_sample, inspect_zip, written


def refused(path: Path, out: Path, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        import_run("inspect", path, out)
    assert not out.exists()


def cell(run: Any) -> dict[str, Any]:
    found: dict[str, Any] = run.results["cells"][0]
    return found


def test_both_forms_give_the_same_scores(tmp_path: Path) -> None:
    log = inspect_log([inspect_sample(1), inspect_sample("b", "I"), inspect_sample(3, True)], 0.667)
    runs = [
        import_run("inspect", written(tmp_path / "log.json", log), tmp_path / "one"),
        import_run("inspect", inspect_zip(tmp_path / "log.eval", log), tmp_path / "two"),
    ]
    assert cell(runs[0])["metrics"] == cell(runs[1])["metrics"]
    assert cell(runs[0])["metrics"][0]["kind"] == "pass"
    assert runs[0].plan.tasks["org-t"].dataset == runs[1].plan.tasks["org-t"].dataset
    assert [run.results["flags"] for run in runs] == [[], []]  # 0.667 is 2 of 3, rounded
    assert cell(runs[0])["tokens"] == {"in": 15, "out": 6, "unknown": 0}
    assert runs[0].verify() == runs[1].verify() == []


def test_zstd_entries_are_read(tmp_path: Path) -> None:
    log = inspect_log([inspect_sample(1), inspect_sample(2, "I")], 0.5)
    path = inspect_zip(tmp_path / "log.eval", log, zipfile.ZIP_STORED)
    run = import_run("inspect", as_zstd(path), tmp_path / "run")
    assert (cell(run)["metrics"][0]["value"], run.verify()) == (0.5, [])


def as_zstd(path: Path, claim: int | None = None) -> Path:
    """The stored entries of a zip packed as method 93; `claim`: the size they say they have when unpacked."""
    with zipfile.ZipFile(path) as file:
        entries = [(info.filename, file.read(info)) for info in file.infolist()]
    packed = path.with_name(f"zstd-{path.name}")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        for name, data in entries:
            file.writestr(name, zstd.compress(data))
    raw = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as file:
        infos = file.infolist()
    directory = raw.index(b"PK\x01\x02", infos[-1].header_offset)
    for info, (_, data) in zip(infos, entries, strict=True):
        sizes = (zlib.crc32(data), info.compress_size, claim if claim is not None else len(data))
        for start, method, check in ((info.header_offset, 8, 14), (directory, 10, 16)):
            raw[start + method : start + method + 2] = (93).to_bytes(2, "little")
            raw[start + check : start + check + 12] = b"".join(size.to_bytes(4, "little") for size in sizes)
        directory += 46 + len(info.filename)
    packed.write_bytes(raw)
    return packed


def test_a_zip_bomb_and_a_lying_size_are_refused(tmp_path: Path) -> None:
    path = inspect_zip(tmp_path / "log.eval", inspect_log([inspect_sample(1)], 1.0), zipfile.ZIP_STORED)
    refused(as_zstd(path, claim=10), tmp_path / "run", "its size or its checksum is not the one")
    refused(as_zstd(path, claim=1 << 31), tmp_path / "run", "the entry is too large")
    with zipfile.ZipFile(tmp_path / "bomb.eval", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.json", b" " * (300 << 20))
    refused(tmp_path / "bomb.eval", tmp_path / "run", "header.json: the entry is too large")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = inspect_zip(tmp_path / "log.eval", inspect_log([inspect_sample(1)], 1.0))
    data = bytearray(path.read_bytes())
    (tmp_path / "cut.eval").write_bytes(data[:-30])
    refused(tmp_path / "cut.eval", tmp_path / "run", "not a zip that can be read")
    data[60] ^= 255
    (tmp_path / "flipped.eval").write_bytes(data)
    refused(tmp_path / "flipped.eval", tmp_path / "run", "the entry is damaged")
    with zipfile.ZipFile(tmp_path / "out.eval", "w") as file:
        file.writestr("../../header.json", "{}")
    refused(tmp_path / "out.eval", tmp_path / "run", "leads out of the archive")
    with zipfile.ZipFile(tmp_path / "started.eval", "w") as file:
        file.writestr("_journal/start.json", "{}")
    refused(tmp_path / "started.eval", tmp_path / "run", "the evaluation never ended")


def test_epochs_are_attempts_of_a_sample(tmp_path: Path) -> None:
    samples = [inspect_sample(1, grade, epoch) for epoch, grade in enumerate("CIC", 1)]
    run = import_run("inspect", written(tmp_path / "log.json", inspect_log(samples, 0.667)), tmp_path / "run")
    (metric,) = cell(run)["metrics"]
    assert (metric["n"], metric["clusters"], len(run.plan.tasks["org-t"].samples)) == (3, 1, 1)
    refused(written(tmp_path / "gap.json", inspect_log([samples[0], samples[2]])), tmp_path / "no", "lacks epoch 2")
    again = written(tmp_path / "twice.json", inspect_log([samples[0], samples[0]]))
    refused(again, tmp_path / "no", r"twice.json:samples\[1\]: the sample '1' is there twice")


def test_a_reducer_that_is_no_mean_is_said_not_to_be_computed_again(tmp_path: Path) -> None:
    log = inspect_log([inspect_sample(1, "C", 1), inspect_sample(1, "I", 2)], 1.0)
    log["eval"]["config"] = {"epochs": 2, "epochs_reducer": ["max"]}
    run = import_run("inspect", written(tmp_path / "log.json", log), tmp_path / "run")
    assert [metric["value"] for metric in cell(run)["metrics"]] == [0.5]
    assert "match accuracy 1, which no sample has a value of" in run.results["flags"][0]["message"]


def test_errors_are_outcomes_and_never_wrong_answers(tmp_path: Path) -> None:
    failed = inspect_sample(2, error={"message": "rate limited"}, scores={})
    unscored = inspect_sample(3, scores={})
    cut = inspect_sample(4, limit={"type": "token"})
    samples = [inspect_sample(1), failed, unscored, cut]
    run = import_run("inspect", written(tmp_path / "log.json", inspect_log(samples, 1.0)), tmp_path / "run")
    assert cell(run)["outcomes"] == {"ok": 1, "truncated": 1, "infra_error": 1, "scorer_error": 1}
    assert (cell(run)["metrics"][0]["value"], cell(run)["metrics"][0]["n"]) == (1.0, 2)
    errors = [entry.attempt["error"] for entry in run if "error" in entry.attempt]
    assert errors == [{"type": "SampleError", "message": "rate limited"}]
    assert run.verify() == []


def test_values_become_metrics_of_their_kind(tmp_path: Path) -> None:
    score = {"grade": {"value": {"style": 3, "tone": "warm"}}, "partly": {"value": "P"}, "nothing": {"value": None}}
    log = inspect_log([inspect_sample(1, scores=score)])
    run = import_run("inspect", written(tmp_path / "log.json", log), tmp_path / "run")
    kinds = {metric["name"]: (metric["kind"], metric.get("value")) for metric in cell(run)["metrics"]}
    assert kinds == {"grade.style": ("measure", 3), "grade.tone label": ("label", None), "partly": ("measure", 0.5)}


def test_a_value_that_is_no_number_is_no_score(tmp_path: Path) -> None:
    log = inspect_log([inspect_sample(1), inspect_sample(2, float("nan"))], 1.0)
    run = import_run("inspect", written(tmp_path / "log.json", log), tmp_path / "run")
    assert cell(run)["outcomes"] == {"ok": 1, "scorer_error": 1}


def test_a_log_without_samples_has_totals(tmp_path: Path) -> None:
    log = inspect_log([], 0.25)
    log["results"] |= {"total_samples": 8, "completed_samples": 8}
    run = import_run("inspect", written(tmp_path / "log.json", log), tmp_path / "run")
    assert (cell(run)["metrics"][0]["value"], cell(run)["metrics"][0]["n"]) == (0.25, 8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "cancelled"}, "the log's status is 'cancelled'"),
        ({"status": "error", "error": {"message": "out of memory\nmore"}}, "status is 'error': out of memory\n"),
        ({"status": "started"}, "allowed: a log whose status is success"),
        ({"version": 1}, "log version 1"),
        ({"invalidated": True}, "marked as invalidated"),
        ({"results": {"total_samples": 3, "scores": []}}, "1 samples, and its results count 3"),
        ({"samples": [], "results": {}}, "no samples and no scores"),
        ({"eval": []}, "eval is missing, or no object"),
        ({"samples": [3], "results": {}}, r"samples\[0\]: no object"),
        ({"samples": [{"id": 1.5}], "results": {}}, "id is missing"),
        ({"samples": [{"id": 1, "epoch": 0}], "results": {}}, "epoch is no whole number"),
    ],
)
def test_a_log_that_did_not_end_well_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    log = inspect_log([inspect_sample(1)], 1.0) | change
    refused(written(tmp_path / "log.json", log), tmp_path / "run", words)


def test_deep_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    for depth in (600, 100_000):
        deep = "[" * depth + "]" * depth
        sample = json.dumps(inspect_log([inspect_sample(1, metadata={"x": "DEEP"})], 1.0))
        path.write_text(sample.replace('"DEEP"', deep).replace('"plan": {}', f'"plan": {{"steps": {deep}}}'))
        refused(path, tmp_path / "run", "nested too deeply|not JSON")


@pytest.mark.data
def test_the_real_logs(tmp_path: Path, data: Path) -> None:
    folder = data / "foreign-logs" / "inspect"
    names = ("log_formats.eval", "log_formats.json", "mmlu-summary-choices.eval")
    runs = [import_run("inspect", folder / name, tmp_path / name) for name in names]
    for run in runs:
        (metric,) = cell(run)["metrics"]
        assert (metric["value"], metric["n"], metric["kind"], run.verify()) == (0.0, 1, "pass", [])
        assert not [flag for flag in run.results["flags"] if flag["level"] != "info"]
    assert runs[0].plan.tasks["popularity"].dataset == runs[1].plan.tasks["popularity"].dataset
    (entry,) = runs[2]
    assert entry.attempt["completion"] == {"text": "ANSWER: C", "tokens_in": 153, "tokens_out": 3}
    assert runs[2].request(entry)["target"] == "A"
