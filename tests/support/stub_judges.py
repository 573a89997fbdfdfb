"""Stub judges: what a model would say of each candidate, from the prompt alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

import assay
from assay.judges import Settings
from support.stub import Stub

_QUOTED = re.compile(r"<<<(DATA-[0-9a-f]{16})\n(.*?)\n\1>>>", re.DOTALL)


def quoted(prompt: str) -> list[str]:
    """What stands between the marks of a judge's prompt: the question, then what is to judge."""
    return [text for _, text in _QUOTED.findall(prompt)]


def says(scores: Mapping[str, Any], rationale: str = "because") -> str:
    """A vote as a judge writes it."""
    return orjson.dumps({"rationale": rationale, "scores": dict(scores)}).decode()


def judge_stub(answer: Callable[[str, int], str], **more: Any) -> Stub:
    """A stub server whose judge says what `answer` returns for (prompt, seed)."""
    return Stub(answer=answer, **more)


def settings(stub: Stub, **more: Any) -> Settings:
    """Settings for a judge that the stub serves, asked without delays."""
    model = {"model": "openai:judge", "base_url": stub.url, **more.pop("model", {})}
    execution = {"retry": {"tries": 2, "base_s": 0.001, "max_s": 0.002}, **more.pop("execution", {})}
    return Settings(model=model, execution=execution, **more)


def lines(run: assay.Run, folder: str = "judgements") -> list[dict[str, Any]]:
    """Every line of the run's judgements, headers among them."""
    paths: list[Path] = sorted((run.path / folder).glob("*.jsonl"))
    return [orjson.loads(line) for path in paths for line in path.read_bytes().splitlines()]
