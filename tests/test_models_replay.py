"""Recorded completions: found by task, sample and epoch, and never made up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import AssayError, ConfigError, Rejected
from assay.models.recording import read_lines
from assay.models.registry import make
from assay.records import ChoiceScore, Completion, Request, Sampling
from assay.spec.schema import ModelSpec


def request(key: str, choices: tuple[str, ...] = ()) -> Request:
    return Request(Sampling(), 0, text="q", choices=choices, key=key)


def ask(path: Path, *requests: Request, **options: Any) -> list[Completion | AssayError]:
    async def run() -> list[Completion | AssayError]:
        model = make(ModelSpec(model=f"replay:{path}", options=options))
        await model.start()
        try:
            found = await asyncio.gather(*map(model.complete, requests), return_exceptions=True)
            return [item for item in found if isinstance(item, Completion | AssayError)]
        finally:
            await model.stop()

    return asyncio.run(run())


def write(path: Path, records: Iterable[Any], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(orjson.dumps(record).decode() for record in records) + end)
    return path


def test_samples_of_the_usual_shapes(tmp_path: Path):
    records = [
        {"task_id": "HumanEval/0", "completion": "    return 1\n"},
        {"task_id": "HumanEval/0", "solution": "def f(): return 2"},
        {"task": "gsm8k", "sample": "7", "epoch": 3, "text": "seven"},
        {"id": 8, "text": ""},
    ]
    found = ask(
        write(tmp_path / "samples.jsonl", records, end=""),
        request("humaneval/HumanEval/0/0"),
        request("humaneval/HumanEval/0/1"),
        request("gsm8k/7/3"),
        request("any/8/0"),
    )
    assert [item.text for item in found if isinstance(item, Completion)] == [
        "    return 1\n",
        "def f(): return 2",
        "seven",
        "",
    ]


@pytest.mark.parametrize("key", ["gsm8k/7/0", "other/7/3", "gsm8k/9/3", "gsm8k", "", "gsm8k/7/x"])
def test_nothing_recorded_is_never_made_up(tmp_path: Path, key: str):
    path = write(tmp_path / "samples.jsonl", [{"task": "gsm8k", "sample": "7", "epoch": 3, "text": "seven"}])
    (error,) = ask(path, request(key))
    assert isinstance(error, Rejected)
    assert "no recorded completion" in error.message


def test_it_is_synthetic_and_recorded(tmp_path: Path):
    path = write(tmp_path / "samples.jsonl", [{"id": "1", "text": "x"}])
    model = make(ModelSpec(model=f"replay:{path}"))
    assert model.synthetic
    assert (model.capabilities.determinism, model.capabilities.choices) == ("recorded", False)
    before = model.identity
    write(path, [{"id": "1", "text": "y"}])
    assert make(ModelSpec(model=f"replay:{path}")).identity["digest"] != before["digest"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"text": "x"}', "names no sample"),
        ('{"id": true, "text": "x"}', "names no sample"),
        ('{"id": "1"}', "none of completion, text"),
        ('{"id": "1", "text": 7}', "none of completion, text"),
        ('{"id": "1", "completion": {"text": "x", "colour": 1}}', "colour"),
        ('{"id": "1", "text": "x", "epoch": -1}', "epoch -1"),
        ('{"id": "1", "text": "x", "epoch": "one"}', "epoch 'one'"),
        ('{"id": "0", "text": "x", "epoch": 0}', "appears twice"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, reason: str):
    path = tmp_path / "samples.jsonl"
    path.write_text('{"id": "0", "text": "x", "epoch": 0}\n\n' + line + "\n")
    with pytest.raises(ConfigError, match=reason) as caught:
        ask(path)
    assert f"{path}:3" in str(caught.value)


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_file_does_more_than_be_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]):
    path = tmp_path_factory.getbasetemp() / "noise.jsonl"
    path.write_bytes(b"\n".join(lines))
    with contextlib.suppress(ConfigError):
        read_lines(path)


def cell(model: str = "m", prompt: str = "p@1", task: str = "t", mode: str = "completion") -> dict[str, Any]:
    return {"id": "c", "model": model, "prompt": prompt, "task": task, "mode": mode, "sampling": {}}


def line(cell: int, sample: str, text: str | None, epoch: int = 0, **more: Any) -> dict[str, Any]:
    completion = {"outcome": "infra_error"} if text is None else {"outcome": "ok", "completion": {"text": text}}
    return {"cell": cell, "sample": sample, "epoch": epoch, **completion, **more}


def run_folder(path: Path, cells: list[dict[str, Any]], lines: list[dict[str, Any]], end: str = "\n") -> Path:
    write(path / "plan.json", [{"schema": "assay.plan.v1", "cells": cells}])
    write(path / "attempts" / "0000.jsonl", lines[:1])
    write(path / "attempts" / "0001.jsonl", lines[1:], end=end)
    return path


def test_a_run_is_replayed(tmp_path: Path):
    lines = [line(0, "a", "old"), line(0, "a", "new"), line(0, "b", None), line(1, "a", "other")]
    path = run_folder(tmp_path / "run", [cell(), cell(task="u")], lines, end='\n{"torn')
    new, failed, other = ask(path, request("t/a/0"), request("t/b/0"), request("u/a/0"))
    assert isinstance(new, Completion)
    assert isinstance(other, Completion)
    assert (new.text, other.text) == ("new", "other")
    assert isinstance(failed, Rejected)
    assert "infra_error" in failed.message


def test_a_run_of_several_models_or_prompts_needs_a_choice(tmp_path: Path):
    cells = [cell(model="a"), cell(model="b"), cell(model="b", prompt="q@1")]
    path = run_folder(tmp_path / "run", cells, [line(n, "s", f"answer {n}") for n in range(3)])
    for options in ({}, {"model": "b"}, {"model": "c"}, {"model": "b", "prompt": "z"}):
        with pytest.raises(ConfigError) as caught:
            make(ModelSpec(model=f"replay:{path}", options=options))
        assert caught.value.problems[0].allowed
    (found,) = ask(path, request("t/s/0"), model="b", prompt="q@1")
    assert isinstance(found, Completion)
    assert found.text == "answer 2"
    one = make(ModelSpec(model=f"replay:{path}", options={"model": "a"}))
    two = make(ModelSpec(model=f"replay:{path}", options={"model": "b", "prompt": "q@1"}))
    assert one.identity != two.identity


def test_recorded_choices(tmp_path: Path):
    scored = {"choices": [[-1.5, 2], [-2.5, 3]], "text": ""}
    path = write(tmp_path / "samples.jsonl", [{"id": "1", "completion": scored}])
    assert make(ModelSpec(model=f"replay:{path}")).capabilities.choices
    found, wrong = ask(path, request("t/1/0", ("a", "b")), request("t/1/0", ("a", "b", "c")))
    assert isinstance(found, Completion)
    assert found.choices == (ChoiceScore(-1.5, 2), ChoiceScore(-2.5, 3))
    assert isinstance(wrong, Rejected)


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path):
    path = write(tmp_path / "samples.jsonl", [{"id": "1", "text": "x"}])

    async def run() -> None:
        model = make(ModelSpec(model=f"replay:{path}"))
        await model.start()
        path.write_text("gone")
        with pytest.raises(Rejected, match="changed"):
            await model.complete(request("t/1/0"))

    asyncio.run(run())


@pytest.mark.parametrize(
    "content", ["", "{}", '{"schema": "assay.plan.v1"}', '{"schema": "assay.plan.v1", "cells": 7}']
)
def test_a_folder_that_is_no_run(tmp_path: Path, content: str):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ConfigError, match=r"plan\.json"):
        make(ModelSpec(model=f"replay:{tmp_path}"))
