"""Small problems in HumanEval's shape, and samples for them as other tools write them."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

RIGHT, WRONG = "    return x + {number}\n", "    return x\n"


def problems(path: Path, count: int = 4) -> Path:
    """`count` problems `Adding/1`, `Adding/2` and so on: add a number to another."""
    rows = (
        {
            "task_id": f"Adding/{number}",
            "prompt": f'def add(x):\n    """Add {number}."""\n',
            "entry_point": "add",
            "test": f"def check(f):\n    assert f(1) == {1 + number}\n    assert f(0) == {number}\n",
            "canonical_solution": RIGHT.format(number=number),
        }
        for number in range(1, count + 1)
    )
    return written(path, rows)


def completion(number: int, right: bool = True, **more: Any) -> dict[str, Any]:
    """A row with a completion for problem `number`."""
    text = (RIGHT if right else WRONG).format(number=number)
    return {"task_id": f"Adding/{number}", "completion": text, **more}


def written(path: Path, rows: Iterable[Any]) -> Path:
    """JSON lines; gzip where the name says so. A row may be bytes, which are written as they are."""
    text = b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
