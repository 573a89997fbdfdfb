"""YAML and JSON that people write, read with line numbers and with bounds: `read` a file, `parse` a text.

Covered: specs, the front matter of prompts, and whatever else a person writes by hand; such files are treated
as hostile (size, depth, aliases and tags are bounded). Not covered: what assay itself writes (`assay.files`),
and what the keys mean.
"""

from assay.document.reader import LIMIT_BYTES, parse, read, read_text
from assay.document.tree import Document, Path, Unread, Word, dotted, nearest

__all__ = [
    "LIMIT_BYTES",
    "Document",
    "Path",
    "Unread",
    "Word",
    "dotted",
    "nearest",
    "parse",
    "read",
    "read_text",
]
