"""The benchmark: runs the figures asked for, writes bench/results/, prints a table in Markdown.

    .venv/bin/python bench/run.py [--figure NAME]... [--rounds N]

See bench/README.md for what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoint
import figures
import judging
import local
import sandbox
import table
import tracking
from process import machine

RESULTS = Path(__file__).resolve().parent / "results"
FIGURES: dict[str, Callable[[figures.Options], dict[str, Any]]] = {
    "whole": figures.whole,
    "further": figures.further,
    "memory": figures.memory,
    "start": figures.start,
    "local": local.figure,
    "sandbox": sandbox.figure,
    "completions": sandbox.completions,
    "probing": sandbox.probing,
    "checkpoint": checkpoint.figure,
    "tracking": tracking.figure,
    "judging": judging.figure,
}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="assay side by side with other tools.")
    parser.add_argument("--figure", action="append", choices=list(FIGURES), help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--attempts", type=int, default=2_000)
    parser.add_argument("--more", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--no-peers", action="store_true", help="leave the other tools out")
    parser.add_argument("--no-assay", action="store_true", help="the other tools alone")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> int:
    """Run, write after every figure, print."""
    given = parse()
    options = figures.Options(
        rounds=given.rounds,
        attempts=given.attempts,
        more=given.more,
        many=given.many,
        peers=not given.no_peers,
        core=not given.no_assay,
    )
    given.results.mkdir(parents=True, exist_ok=True)
    for name in given.figure or FIGURES:
        figures.say(f"figure {name!r}")
        facts = machine()
        result = {"figure": name, "machine": facts, "rounds": given.rounds, "result": FIGURES[name](options)}
        (given.results / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(table.render(given.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
