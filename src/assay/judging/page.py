"""The page that a person fills in: one file that works offline, by keyboard, and hands back a JSON file.

Its policy forbids every request, and every script and style but the two it carries, which it names by digest. All
that it shows is put there as text by the script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

from assay.files import canonical, write_atomic
from assay.judging.queue import Queue
from assay.judging.sheet import document

_UNSAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""What could end a script element, or a line of it, as JSON escapes."""


def write(path: Path, queue: Queue) -> None:
    """Write the page of a queue, whole or not at all. The same queue gives the same bytes."""
    write_atomic(path, _pieces(queue))


def _pieces(queue: Queue) -> Iterator[bytes]:
    title = escape(f"Judging by {queue.rubric.label} · {len(queue.items)} candidates")
    yield _head(title).encode()
    yield b"<body>\n<noscript>This page needs JavaScript; it asks nobody for anything.</noscript>\n"
    yield b'<div id="app"></div>\n'
    yield b'<script type="application/json" id="data">'
    yield canonical(document(queue)).decode().translate(_UNSAFE).encode()
    yield f"</script>\n<script>{_asset('page.js')}</script>\n</body>\n</html>\n".encode()


def _head(title: str) -> str:
    metas = (
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_policy())}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        '<meta name="robots" content="noindex">',
    )
    head = "\n".join((*metas, f"<title>{title}</title>", f"<style>{_asset('page.css')}</style>"))
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n'


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
