"""Journals as Parquet: the same lines, the same numbers, and every contradiction found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

import assay
from assay.errors import ConfigError, EvidenceError
from assay.evidence.manifest import covered, entry, identity, seal
from assay.evidence.read import read as read_evidence
from assay.evidence.verify import verify
from assay.files import canonical, pretty
from assay.run import compact, journal
from assay.run.compact import Mode
from assay.run.folder import RunFolder
from support.evals import spec
from support.stub import Stub


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with Stub() as stub:
        run = assay.evaluate(spec(folder, stub.url, 30), out=folder / "run")
    (run.path / "manifest.json").unlink()
    return run.path


@pytest.fixture
def sealed(unsealed: Path, tmp_path: Path) -> Callable[[Mode], Path]:
    def make(mode: Mode) -> Path:
        path = Path(shutil.copytree(unsealed, tmp_path / mode))
        seal(RunFolder(path), assay.open(path).plan, command=(), environment={}, compact=mode)
        return path

    return make


def names(run: Path) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.suffix in (".jsonl", ".parquet")}


LINES = {"attempts/0000.jsonl", "scores/0000.jsonl"}
COLUMNS = {"attempts/0000.parquet", "scores/0000.parquet"}


@pytest.mark.parametrize(
    ("mode", "there", "gone"), [("off", LINES, COLUMNS), ("auto", LINES, COLUMNS), ("keep", LINES | COLUMNS, set()),
                                ("drop", COLUMNS, LINES)],
)  # fmt: skip
def test_a_run_reads_alike_however_it_is_kept(
    sealed: Callable[[Mode], Path], unsealed: Path, tmp_path: Path, mode: Mode, there: set[str], gone: set[str]
) -> None:
    path = sealed(mode)
    assert there <= names(path)
    assert not gone & names(path)
    assert verify(path) == []
    one, other = assay.open(unsealed), assay.open(path)
    assert [vars(entry) if hasattr(entry, "__dict__") else entry for entry in other] == [
        vars(entry) if hasattr(entry, "__dict__") else entry for entry in one
    ]
    assert other.results == one.results
    assert other.frame().fetchall() == one.frame().fetchall()


def test_evidence_is_read_alike_from_either(sealed: Callable[[Mode], Path]) -> None:
    lines, kept, dropped = (read_evidence(sealed(mode)) for mode in ("off", "keep", "drop"))
    assert {each.state for each in (lines, kept, dropped)} == {"sealed"}
    for cell, *others in zip(lines.cells, kept.cells, dropped.cells, strict=True):
        for other in others:
            assert (cell.outcome == other.outcome).all()
            assert (cell.position == other.position).all()
            assert all((cell.values[name] == other.values[name]).all() for name in cell.values)
            assert str(cell.latency) == str(other.latency)


def test_scoring_goes_on_where_the_lines_were_dropped(sealed: Callable[[Mode], Path]) -> None:
    from assay.plan.scorers import rescorers
    from assay.session import score

    path = sealed("drop")
    again = score(path, rescorers(assay.open(path).plan, (), "contains"))
    assert "scores/0001.jsonl" in names(path)
    assert again.verify() == []


def test_a_recording_needs_lines(sealed: Callable[[Mode], Path], tmp_path: Path) -> None:
    path = sealed("drop")
    asked = spec(tmp_path, "http://127.0.0.1:1/v1", 30) | {"models": [{"model": f"replay:{path}", "name": "again"}]}
    with pytest.raises(ConfigError, match="Parquet only"):
        assay.evaluate(asked, out=tmp_path / "replayed")


def test_the_lines_come_back_byte_for_byte(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"index": 0, "sample": 'é "\\ \u2028\n\t\x00', "completion": {"text": "𝔸" * 1000, "tokens_out": None}},
        {"index": 2**63 - 1, "latency_s": 1e-300, "error": {"type": "X", "more": [1, [2.0, {"a": None}]]}},
        {"schema": "other"},
        {},
    ]
    folder = RunFolder(tmp_path)
    folder.attempts.mkdir()
    path = folder.attempts / "0000.jsonl"
    path.write_bytes(b"".join(canonical(record) + b"\n" for record in records))
    before = path.read_bytes()
    compact.compact(folder, (), "drop", 4)
    [columnar] = journal.segments(folder.attempts)
    assert columnar.suffix == ".parquet"
    assert b"".join(compact.lines(columnar)) == before
    assert journal.first_line(columnar) == before.splitlines(keepends=True)[0]
    assert [record for _, _, record in journal.read(folder.attempts)] == records
    assert journal.next_segment(folder.attempts, frozenset()).name == "0001.jsonl"
    assert [path.name for path in tmp_path.iterdir()] == ["attempts"]


@pytest.mark.parametrize("text", ['{"index": 1}\n', '{"index":1}', '{"index":"one"}\n', "[1]\n", "no\n", '{"a":1}\n\n'])
def test_what_would_not_come_back_is_not_dropped(tmp_path: Path, text: str) -> None:
    folder = RunFolder(tmp_path)
    folder.attempts.mkdir()
    path = folder.attempts / "0000.jsonl"
    path.write_text(text)
    try:
        compact.compact(folder, (), "drop", 1)
    except EvidenceError:
        assert path.read_text() == text
        assert not path.with_suffix(".parquet").exists()
    else:
        assert b"".join(compact.lines(path.with_suffix(".parquet"))).decode() == text


def test_a_segment_that_goes_on_loses_the_parquet_of_a_seal_that_failed(tmp_path: Path) -> None:
    (tmp_path / "0000.parquet").write_bytes(b"stale")
    writer = journal.Writer(tmp_path / "0000.jsonl")
    writer.append({"a": 1})
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["0000.jsonl"]


def forged(run: Path, name: str, change: str) -> None:
    """Write a Parquet segment anew with SQL, and seal over it as a forger would."""
    path = run / name
    with duckdb.connect() as connection:
        kept = connection.execute(f"SELECT value FROM parquet_kv_metadata('{path}')").fetchone()
        assert kept is not None
        note = f"KV_METADATA {{sha256: '{kept[0].decode()}'}}"
        connection.execute(f"COPY (SELECT {change} FROM '{path}') TO '{run.parent}/new' (FORMAT parquet, {note})")
    shutil.move(run.parent / "new", path)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"] = [entry(run, file) for file in covered(run)]
    (run / "manifest.json").write_bytes(pretty(manifest | {"id": identity(manifest)}))


@pytest.mark.parametrize("mode", ["keep", "drop"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("attempts/0000.parquet", "* REPLACE ('infra_error' AS outcome)"),
        ("attempts/0000.parquet", "* REPLACE (latency_s + 1 AS latency_s)"),
        ("attempts/0000.parquet", "* EXCLUDE (sample)"),
        ("attempts/0000.parquet", "*, 1 AS more"),
        ("attempts/0000.parquet", "* REPLACE (replace(line, '\"tries\":1', '\"tries\":2') AS line)"),
        ("scores/0000.parquet", "* REPLACE (replace(metrics::VARCHAR, 'false', 'true')::JSON AS metrics)"),
        ("scores/0000.parquet", "* REPLACE (line || ' ' AS line)"),
    ],
)
def test_a_forged_column_under_a_new_seal_is_found(
    sealed: Callable[[Mode], Path], mode: Mode, name: str, change: str
) -> None:
    path = sealed(mode)
    forged(path, name, change)
    assert {finding.path for finding in verify(path)} == {name}


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_parquet_is_found(sealed: Callable[[Mode], Path], data: bytes) -> None:
    path = sealed("drop")
    (path / "scores" / "0000.parquet").write_bytes(data)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"] = [entry(path, file) for file in covered(path)]
    (path / "manifest.json").write_bytes(pretty(manifest | {"id": identity(manifest)}))
    assert any("Parquet" in finding.problem for finding in verify(path))
