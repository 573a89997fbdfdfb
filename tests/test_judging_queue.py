"""What judges are given: blind, reproducible, with checks, and only what is pending."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from assay import judged
from assay.errors import ConfigError, EvidenceError, SecretFound
from assay.importing import import_run
from assay.judging.queue import Options, keys_of
from assay.judging.rubric_file import parse
from assay.session import seal_run
from support.foreign import evalplus, written
from support.judging import RUBRIC, TEXT, export, fill, fill_json, rows_of, run
from support.stub import Stub


def kinds(queue):
    return [item.kind for item in queue.items]


def test_every_candidate_is_there_once_under_an_id_of_its_own(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 30)
    rows = rows_of(tmp_path / "q.csv") if export(made, tmp_path / "q.csv") else []
    assert len({row["id"] for row in rows}) == len(rows) == 30
    shown = {(entry.attempt["sample"], entry.attempt["completion"]["text"]) for entry in made}
    asked = {f"Is {sample.removeprefix('q')} even?": text for sample, text in shown}
    assert {row["input"]: row["text"] for row in rows} == asked
    assert [row["input"] for row in rows] != sorted((row["input"] for row in rows), key=lambda text: int(text[3:-6]))


@pytest.mark.parametrize("ending", ["csv", "json", "html"])
def test_the_file_says_nothing_of_where_a_candidate_comes_from(tmp_path: Path, stub: Stub, ending: str):
    made = run(tmp_path, stub, 5, models=[{"model": "openai:stub", "name": "secret-name", "base_url": stub.url}])
    export(made, tmp_path / f"q.{ending}", anchors=True, repeat=0.4)
    text = (tmp_path / f"q.{ending}").read_text()
    told = [entry.attempt["attempt"] for entry in made] + ["secret-name", "text@1", "parity", made.plan.digest[:8]]
    assert [word for word in told if word in text] == []
    if ending == "json":
        rows = orjson.loads(text)["rows"]
        assert {frozenset(row) for row in rows} == {frozenset(("id", "input", "text", "digest", "scores", "comment"))}


def test_unblinded_says_it(tmp_path: Path, stub: Stub):
    export(run(tmp_path, stub, 5), tmp_path / "q.csv", blind=False)
    assert {(row["model"], row["prompt"], row["task"]) for row in rows_of(tmp_path / "q.csv")} == {
        ("stub", "text@1", "parity")
    }


def test_the_reference_is_shown_on_request(tmp_path: Path, stub: Stub):
    export(run(tmp_path, stub, 4), tmp_path / "q.csv", reference=True)
    assert {row["reference"] for row in rows_of(tmp_path / "q.csv")} == {"yes", "no"}


def test_the_same_command_gives_the_same_file_and_no_new_seal(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub)
    export(made, tmp_path / "a.csv", seed=3, repeat=0.2)
    seal = (made.path / "manifest.json").read_bytes()
    export(made, tmp_path / "b.csv", seed=3, repeat=0.2)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (made.path / "manifest.json").read_bytes() == seal
    export(made, tmp_path / "c.csv", seed=4, repeat=0.2)
    one, other = ({row["id"] for row in rows_of(tmp_path / name)} for name in ("a.csv", "c.csv"))
    assert not one & other


def test_a_sealed_run_is_sealed_again_with_the_key_and_the_rubric(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub)
    queue = export(made, tmp_path / "q.csv")
    assert made.verify() == []
    listed = [file["path"] for file in orjson.loads((made.path / "manifest.json").read_bytes())["files"]]
    assert f"judging/exports/{queue.export}.json" in listed
    assert "judging/rubrics/fit-v1.md" in listed
    assert (made.path / "judging" / "rubrics" / "fit-v1.md").read_text() == TEXT


def test_repeats_are_early_candidates_shown_again_late(tmp_path: Path, stub: Stub):
    queue = export(run(tmp_path, stub, 40), tmp_path / "q.csv", repeat=0.1, anchors=True)
    assert queue.counts == {"candidate": 40, "repeat": 4, "anchor": 2}
    rows = {row["id"]: row for row in rows_of(tmp_path / "q.csv")}
    place = {item.id: number for number, item in enumerate(queue.items)}
    for item in queue.items:
        if item.kind == "repeat":
            assert place[item.of] < 21 <= place[item.id]
            assert rows[item.of]["text"] == rows[item.id]["text"]
    assert {item.row["text"] for item in queue.items if item.kind == "anchor"} == {"Yes, it is.", "Perhaps."}


def test_judges_share_a_part_and_split_the_rest(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 50)
    written = judged.export([made.path], RUBRIC, tmp_path / "q.csv", Options(parts=3, overlap=0.2, anchors=True))
    assert [path.name for path, _ in written] == ["q.1.csv", "q.2.csv", "q.3.csv"]
    dealt = [{item.candidate.index for item in queue.items if item.candidate} for _, queue in written]
    everybody = dealt[0] & dealt[1] & dealt[2]
    assert len(everybody) == 10
    assert dealt[0] & dealt[1] == everybody == dealt[1] & dealt[2]
    assert len(dealt[0] | dealt[1] | dealt[2]) == 50
    assert [queue.counts["anchor"] for _, queue in written] == [2, 2, 2]
    assert [len(rows_of(path)) for path, _ in written] == [len(queue.items) for _, queue in written]
    assert len({queue.export for _, queue in written}) == 3
    with pytest.raises(ConfigError, match="too few"):
        judged.export([made.path], RUBRIC, tmp_path / "x.csv", Options(parts=60, overlap=0.0))


def test_only_what_is_pending_is_handed_out(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 10)
    export(made, tmp_path / "q.csv", anchors=True)
    first = {row["id"] for row in rows_of(tmp_path / "q.csv")[:6]}
    blank = {"fit": "", "ease": ""}
    fill(tmp_path / "q.csv", tmp_path / "a.csv", lambda row: {"fit": 2, "ease": 1} if row["id"] in first else blank)
    batch = judged.apply(tmp_path / "a.csv", "ada", [made.path], partial=True)
    again = export(made, tmp_path / "again.csv", anchors=True)
    assert again.counts["candidate"] == 10 - batch.count("candidate")
    fill(tmp_path / "again.csv", tmp_path / "b.csv")
    judged.apply(tmp_path / "b.csv", "ada", [made.path])
    with pytest.raises(ConfigError, match="nothing is pending"):
        export(made, tmp_path / "none.csv")
    assert export(made, tmp_path / "bob.csv", judge="bob").counts["candidate"] == 10


def test_several_runs_become_one_file_and_come_back_to_each(tmp_path: Path, stub: Stub):
    one, two = run(tmp_path / "a", stub, 6), run(tmp_path / "b", stub, 9)
    ((_, queue),) = judged.export([one.path, two.path], RUBRIC, tmp_path / "q.json", Options(anchors=True, repeat=0.2))
    assert queue.counts == {"candidate": 15, "repeat": 3, "anchor": 2}
    fill_json(tmp_path / "q.json", tmp_path / "a.json")
    with pytest.raises(ConfigError, match="is not here"):
        judged.apply(tmp_path / "a.json", "ada", [one.path])
    assert judged.apply(tmp_path / "a.json", "ada", [one.path, two.path]).count("candidate") == 15
    assert [judged.status(found.path)[0]["judged"] for found in (one, two)] == [6, 9]
    assert one.verify() == two.verify() == []


def test_an_unfinished_run_is_not_judged(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 5)
    lines = (made.path / "attempts" / "0000.jsonl").read_bytes().splitlines(keepends=True)
    (made.path / "manifest.json").unlink()
    (made.path / "attempts" / "0000.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(ConfigError, match="not finished: 4 of 5"):
        export(made, tmp_path / "q.csv")


def test_a_tampered_run_is_not_sealed_anew(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 5)
    text = (made.path / "samples" / "parity.jsonl").read_text()
    (made.path / "samples" / "parity.jsonl").write_text(text.replace("Is 1 even?", "Is 1 ever?"))
    with pytest.raises(EvidenceError, match="sealed as"):
        export(made, tmp_path / "q.csv")
    assert not keys_of(judged.RunFolder(made.path)).exists()


def test_a_changed_rubric_of_the_same_version_is_refused(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 5)
    export(made, tmp_path / "q.csv")
    with pytest.raises(ConfigError, match="another version"):
        export(made, tmp_path / "r.csv", rubric=parse(TEXT.replace("fits a little", "so so"), "fit.md"))
    assert not (tmp_path / "r.csv").exists()


def test_anchors_are_hidden_or_refused(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 5)
    with pytest.raises(ConfigError, match="anchors are checks"):
        export(made, tmp_path / "q.csv", anchors=True, blind=False)
    told = TEXT.replace('text: "Perhaps."', 'text: "Perhaps."\n    reference: "no"').replace("version: 1", "version: 2")
    export(made, tmp_path / "q.csv", rubric=parse(told, "fit.md"), anchors=True, reference=True)
    assert [row["reference"] for row in rows_of(tmp_path / "q.csv") if row["text"] == "Perhaps."] == ["no"]


def test_a_copy_of_the_run_makes_it_ambiguous(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 3)
    export(made, tmp_path / "q.csv")
    shutil.copytree(made.path, tmp_path / "copy")
    file = fill(tmp_path / "q.csv", tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="several runs of the same plan"):
        judged.apply(file, "ada", [made.path, tmp_path / "copy"])
    assert judged.apply(file, "ada", [made.path]).count("candidate") == 3


def test_another_ending_is_refused_before_anything_is_written(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 5)
    with pytest.raises(ConfigError, match=r"\.csv, \.json, \.html"):
        export(made, tmp_path / "q.xlsx")
    assert not (made.path / "judging").exists()


def test_a_seal_that_was_cut_short_is_finished_by_sealing(tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch):
    made = run(tmp_path, stub, 5)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(judged, "seal", killed)
        with pytest.raises(KeyboardInterrupt):
            export(made, tmp_path / "q.csv")
    seal_run(made.path)
    assert made.verify() == []
    export(made, tmp_path / "q.csv")
    assert judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path]).count("candidate") == 5
    assert made.verify() == []


def test_a_run_that_holds_a_secret_is_not_handed_out(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 5)
    path = made.path / "attempts" / "0000.jsonl"
    first, *rest = path.read_bytes().splitlines(keepends=True)
    line = orjson.loads(first)
    line["completion"]["text"] = "ghp_" + "a1B2c3D4e5" * 4
    path.write_bytes(orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n" + b"".join(rest))
    (made.path / "manifest.json").unlink()
    with pytest.raises(SecretFound):
        export(made, tmp_path / "q.csv")
    assert not (tmp_path / "q.csv").exists()


def test_an_imported_run_stays_an_import(tmp_path: Path):
    statuses = {"HumanEval/0": [("pass", "pass"), ("pass", "timeout")], "HumanEval/1": [("fail", "pass")]}
    made = import_run("evalplus", written(tmp_path / "m_eval_results.json", evalplus(statuses)), tmp_path / "run")
    export(made, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path])
    manifest = orjson.loads((made.path / "manifest.json").read_bytes())
    assert manifest["kind"] == "import"
    assert [parent["kind"] for parent in manifest["parents"]].count("source") == 1
    assert made.verify() == []
