"""Files that people write: read whole, bounded, and as UTF-8."""

from __future__ import annotations

import stat
from pathlib import Path as File

from assay.document import jsontext, yamltext
from assay.document.tree import Document, flatten
from assay.errors import ConfigError, Problem

LIMIT_BYTES = 1 << 20


def read(path: File) -> Document:
    """A `.json` file as JSON, any other as YAML.

    Raises ConfigError where the file cannot be read, is larger than `LIMIT_BYTES`, or has another syntax;
    what is wrong in single values is in the document's `problems`.
    """
    return parse(read_text(path), str(path), json=path.suffix.lower() == ".json")


def parse(text: str, where: str, *, first_line: int = 1, json: bool = False) -> Document:
    """`text` as a document, its lines counted from `first_line`. Raises ConfigError as `read` does."""
    root, problems = (jsontext if json else yamltext).parse(text, where, first_line)
    document = flatten(root, where)
    document.problems[:0] = problems
    return document


def read_text(path: File) -> str:
    """The text of a file of at most `LIMIT_BYTES`, without a byte order mark.

    Raises ConfigError where it is missing, larger, not a plain file, or not UTF-8.
    """
    data = _read_bytes(path)
    if len(data) > LIMIT_BYTES:
        raise ConfigError(Problem("the file is too large", str(path), allowed=f"at most {LIMIT_BYTES:,} bytes"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(Problem("not UTF-8 text", str(path), line)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_bytes(path: File) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(Problem("not a plain file", str(path)))
        with path.open("rb") as file:
            return file.read(LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(Problem(f"cannot be read: {reason}", str(path))) from None
