"""The plan as a table, for `--plan-only`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

DISCORDANCE = 0.10


def plan_table(document: Mapping[str, Any]) -> Group:
    """A forecast for people: one row a cell, then the totals and the plan's digest.

    A model that all cells share stands above the table rather than in every row.
    """
    models = {cell["model"] for cell in document["cells"]}
    shared = models.pop() if len(models) == 1 else None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (*(() if shared else ("model",)), "task", "prompt", "scored by"):
        table.add_column(heading, overflow="fold")
    for heading in ("attempts", "tokens in", "out at most", "decides"):
        table.add_column(heading, justify="right")
    for cell in document["cells"]:
        table.add_row(*map(Text, _row(cell, shared)))
    tokens = document["tokens"]
    total = f"about {tokens['in']:,} tokens in and at most {tokens['out_at_most']:,} out"
    lines = [
        "",
        f"{document['attempts']:,} attempts, {total}",
        "decides: the smallest difference, in points, that a paired comparison at this n could decide "
        "(10 % of samples discordant, one-sided 5 %, power 80 %); - where it could decide none",
        f"plan {document['digest']}",
    ]
    heading = f"{document['name']}  {shared}\n" if shared else f"{document['name']}\n"
    return Group(Text(heading), table, *map(Text, lines))


def _row(cell: Mapping[str, Any], shared: str | None) -> list[str]:
    decides = next(item["points"] for item in cell["smallest_difference"] if item["discordance"] == DISCORDANCE)
    shots = f" ({cell['few_shot']}-shot)" if cell["few_shot"] else ""
    return [
        *(() if shared else (cell["model"],)),
        cell["task"] + shots,
        cell["prompt"],
        "likelihood" if cell["mode"] == "choices" else cell["scorer"] or "not scored",
        f"{cell['attempts']:,}",
        f"{cell['tokens']['in']:,}",
        f"{cell['tokens']['out_at_most']:,}",
        "-" if decides is None else f"{decides:.1f}",
    ]
