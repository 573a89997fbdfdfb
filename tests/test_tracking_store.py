"""A real server whose artifact store cannot be reached from here: what fits goes into tags, the rest is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assay.errors import ConfigError, EvidenceError
from assay.tracking import chunks
from assay.tracking.archive import NAME
from assay.tracking.client import Client
from assay.tracking.pull import pull
from assay.tracking.push import push
from assay.tracking.store import choose
from assay.tracking.target import Target
from support import judging
from support.stub import Stub
from support.tracking import client, history, logged, made, needs_mlflow

pytestmark = needs_mlflow


@pytest.fixture(scope="module")
def apart(mlflow: str) -> str:
    """Nobody can write where these experiments keep artifacts: to us it is as a folder of another machine."""
    for name in ("small", "back", "long", "changed", "names"):
        client(mlflow).create_experiment(name, artifact_location="file:///proc/assay/elsewhere")
    return mlflow


def test_small_files_are_kept_in_tags(tmp_path: Path, stub: Stub, apart: str):
    run = made(tmp_path, stub, 3)
    pushed = push(run.path, Target(apart, "small"))
    assert (pushed.created, pushed.store) == (3, "tags")
    assert "files are kept in tags" in pushed.notes[0] and "/proc/assay/elsewhere" in pushed.notes[0]
    parent, children = logged(apart, "small")
    tags = children["stub · kind@1 · parity"].data.tags
    assert "Please. {{ input }}" in tags["artifact:prompt.txt"]
    assert tags["artifact:raw.txt"].startswith("=== q0 0 (ok)\n")
    assert '"asked":"Is 0 even?"' in tags["artifact:candidates.json"]
    assert not Path("/proc/assay").exists()
    before = history(apart, "small")
    assert push(run.path, Target(apart, "small")).unchanged == 3
    assert history(apart, "small") == before
    assert parent.data.tags["assay.store"] == "tags"


def test_a_small_run_comes_back_out_of_tags(tmp_path: Path, stub: Stub, apart: str):
    run = made(tmp_path, stub, 3)
    push(run.path, Target(apart, "back"))
    (found,) = pull(apart, "back").runs
    files = {path.relative_to(run.path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert {path.relative_to(found): path.read_bytes() for path in found.rglob("*") if path.is_file()} == files
    judging.export(run, tmp_path / "q.csv")
    push(run.path, Target(apart, "back"))
    assert (pull(apart, "back").runs[0] / "judging" / "rubrics" / "fit-v1.md").read_text() == judging.TEXT


def test_longer_files_are_cut_and_too_long_ones_told(tmp_path: Path, apart: str):
    import random

    letters = random.Random(1)

    def answer(prompt: str, seed: int | None) -> str:
        return "".join(letters.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=30_000))

    with Stub(answer=answer) as stub:
        run = made(tmp_path, stub, 30)
    pushed = push(run.path, Target(apart, "long"))
    assert "the run directory is not logged" in pushed.notes[1]
    parent, children = logged(apart, "long")
    tags = children["stub · kind@1 · parity"].data.tags
    assert "too large for tags" in str(chunks.refused("raw.txt", tags))
    assert chunks.refused("prompt.txt", tags) is None
    assert "too large for tags" in str(chunks.refused(NAME, parent.data.tags))
    with pytest.raises((ConfigError, EvidenceError), match="too large for tags"):
        pull(apart, "long")
    assert len(tags) < 60


def test_tags_that_somebody_changed_are_refused(tmp_path: Path, stub: Stub, apart: str):
    run = made(tmp_path, stub, 3)
    push(run.path, Target(apart, "changed"))
    parent, _ = logged(apart, "changed")
    piece = parent.data.tags[f"artifact:{NAME}/0000"]
    client(apart).set_tag(
        parent.info.run_id,
        f"artifact:{NAME}/0000",
        ("A" if piece[200] != "A" else "B").join((piece[:200], piece[201:])),
    )
    with pytest.raises(EvidenceError, match="not what was sealed"):
        pull(apart, "changed")


def test_a_folder_of_the_same_name_here_is_not_taken_for_the_servers(tmp_path: Path, stub: Stub, apart: str):
    push(made(tmp_path, stub, 3).path, Target(apart, "names"))
    talking = Client(apart)
    parent = talking.run(logged(apart, "names")[0].info.run_id)
    for here in (tmp_path / "new" / "folder", tmp_path / "there already"):
        if here.name == "there already":
            (here / "kept").mkdir(parents=True)
        elsewhere = replace(parent, artifact_uri=f"{here.as_uri()}/1/{parent.id}/artifacts")
        chosen = choose(talking, elsewhere)
        assert chosen.kind == "tags" and "does not see" in chosen.why
    assert not (tmp_path / "new").exists()
    assert [path.name for path in (tmp_path / "there already").iterdir()] == ["kept"]
