"""The plan as a table, for `--plan-only`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text


def plan_table(document: Mapping[str, Any]) -> Group:
    """A forecast for people: one row a cell, then the totals and the plan's digest."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("model", "task", "prompt", "mode", "scorer"):
        table.add_column(heading, overflow="fold")
    for heading in ("attempts", "tokens in", "out ≤", "decides"):
        table.add_column(heading, justify="right")
    for cell in document["cells"]:
        table.add_row(*_row(cell))
    tokens = document["tokens"]
    lines = [
        "",
        f"{document['attempts']} attempts, about {tokens['in']:,} tokens in and at most {tokens['out_at_most']:,} out",
        "decides: the smallest difference, in points, that a paired comparison at this n could decide "
        "(10 % of samples discordant, one-sided 5 %, power 80 %)",
        f"plan {document['digest']}",
    ]
    return Group(table, *map(Text, lines))


def _row(cell: Mapping[str, Any]) -> list[str]:
    decides = next(item["points"] for item in cell["smallest_difference"] if item["discordance"] == 0.10)
    shots = f" ({cell['few_shot']}-shot)" if cell["few_shot"] else ""
    return [
        cell["model"],
        cell["task"] + shots,
        cell["prompt"],
        cell["mode"],
        cell["scorer"] or "none",
        f"{cell['attempts']:,}",
        f"{cell['tokens']['in']:,}",
        f"{cell['tokens']['out_at_most']:,}",
        "-" if decides is None else f"{decides:.1f}",
    ]
