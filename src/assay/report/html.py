"""`report.html`: one file that opens offline, asks nobody for anything, and trusts nothing it shows.

The page's policy forbids every request, and every script and style but the two it carries, which it names by
digest. Plots are drawn here as plain SVG (see `assay.report.rows`); the script only sorts the table and
browses the samples, which it puts on the page as text and never as markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from assay.errors import AssayError
from assay.files import write_atomic
from assay.report import page
from assay.report.entry import Entry, Render, primary_names
from assay.report.judged import Judged
from assay.report.markup import Markup, embedded, tag
from assay.report.rows import Cell, cell_name, cell_parts
from assay.report.samples import select, view

LIMIT = 400
"""How many attempts the page carries unless told otherwise."""

MAX_BYTES = 4_000_000
"""How many bytes of attempts the page carries at most."""


def write(
    path: Path,
    results: Mapping[str, Any],
    plan: Mapping[str, Any],
    entries: Iterable[Entry],
    render: Render,
    *,
    judged: Judged | None = None,
    limit: int = LIMIT,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Write the page, whole or not at all.

    `results` and `plan` are the contents of results.json and plan.json, `judged` what was judged, if anything.
    `entries` is read once, in any order and at any length, in constant memory; at most `limit` of them, and
    `max_bytes` of JSON, are embedded. `render` is asked for the prompts of those alone. The same inputs give the
    same bytes.
    """
    write_atomic(path, _pieces(results, plan, entries, render, judged, limit, max_bytes))


def _pieces(
    results: Mapping[str, Any],
    plan: Mapping[str, Any],
    entries: Iterable[Entry],
    render: Render,
    judged: Judged | None,
    limit: int,
    max_bytes: int,
) -> Iterator[bytes]:
    primaries = primary_names(results)
    chosen = select(entries, primaries, (cell["cell"] for cell in results["cells"]), limit)
    views = list(_views(chosen.entries, render, primaries, judged.said if judged else {}, max_bytes))
    ordered = [text for _, text in sorted(views, key=lambda pair: pair[0])]
    names = embedded(_names(results["cells"]))
    for part in (
        '<!doctype html>\n<html lang="en">',
        _head(str(results["name"])),
        page.body(results, plan, judged.content if judged else None, shown=len(ordered), total=chosen.total),
        f'<script type="application/json" id="data">{{"cells":{names},"entries":[',
        ",\n".join(ordered),
        "]}</script>\n",
        tag("script", Markup(_asset("page.js"))),
        "</html>\n",
    ):
        yield part.encode("utf-8", "replace")


def _names(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """What the script calls each cell: in full, and short where the list has little room."""
    parts = cell_parts(cells, ("task", "prompt", "model"))
    return [{"cell": cell["cell"], "name": cell_name(cell), "short": " · ".join(parts[cell["cell"]])} for cell in cells]


def _views(
    entries: Iterable[Entry],
    render: Render,
    primaries: Mapping[int, str],
    said: Mapping[int, Sequence[Mapping[str, Any]]],
    max_bytes: int,
) -> Iterator[tuple[int, str]]:
    """The chosen entries as (index, JSON), as long as they fit."""
    room = max_bytes
    for entry in entries:
        primary = primaries.get(entry.attempt["cell"])
        judgements = said.get(entry.attempt["index"], ())
        text = embedded(view(entry, _rendered(entry, render), primary, judgements))
        room -= len(text.encode())
        if room < 0:
            return
        yield entry.attempt["index"], text


def _rendered(entry: Entry, render: Render) -> Mapping[str, Any]:
    try:
        return render(entry)
    except AssayError as error:
        return {"missing": str(error)}


def _head(name: str) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{name} · assay report"),
        tag("style", Markup(_asset("page.css"))),
    )


def _policy() -> str:
    """Nothing but this file's own script and style, each by its digest."""
    script, style = _source("page.js"), _source("page.css")
    return f"default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"


def _source(name: str) -> str:
    found = hashlib.sha256(_asset(name).encode()).digest()
    return f"'sha256-{base64.b64encode(found).decode()}'"


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
