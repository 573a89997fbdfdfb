"""The prompts of the benchmark: short, distinct, made on the spot, and the same every time."""

from __future__ import annotations

from pathlib import Path

import orjson


def write(path: Path, count: int) -> Path:
    """`count` prompts as JSON lines of `id`, `input` and `target`; the stub says "yes" or "no" by a hash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for index in range(count):
            text = f"Question {index}: is {index * 7919 % 10007} a lucky number? Answer yes or no."
            line = {"id": f"q{index}", "input": text, "target": "yes" if index % 3 else "no"}
            file.write(orjson.dumps(line) + b"\n")
    return path
