"""Small evaluations against the stub server, for tests of the whole flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson


def questions(path: Path, count: int) -> Path:
    """A file of `count` short questions, each with its answer."""
    rows = [{"id": f"q{number}", "input": f"Is {number} even?", "target": _parity(number)} for number in range(count)]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def _parity(number: int) -> str:
    return "no" if number % 2 else "yes"


def spec(folder: Path, url: str, count: int = 20, **more: Any) -> dict[str, Any]:
    """A spec that asks the stub `count` questions; `more` goes into it as it is."""
    return {
        "name": "stubbed",
        "models": [{"model": "openai:stub", "name": "stub", "base_url": url}],
        "tasks": [{"task": f"file:{questions(folder / 'questions.jsonl', count)}", "name": "parity"}],
        "retry": {"tries": 5, "base_s": 0.01, "max_s": 0.05},
        **more,
    }
