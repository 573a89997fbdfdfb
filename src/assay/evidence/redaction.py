"""Taking secrets out of a run that is not sealed yet: out of its journal, its events and its controls.

What was derived from the journal (scores, results, the report) has to be derived again afterwards, from what is then
there: a seal vouches for the redacted evidence, and verification scores just that. What a plan fixed (its
configuration, its samples) is never changed, and no file that a seal covers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import orjson

from assay.errors import MachineError
from assay.evidence.secrets import Secret, replaced, scan_file
from assay.files import canonical, write_atomic
from assay.run import journal
from assay.run.folder import RunFolder


def redact(folder: RunFolder, allow: Collection[str] = ()) -> None:
    """Replace every secret by `[redacted:sha256:…]`, but for those that `allow` names.

    What will be replaced is first written to `redactions/`, which the seal covers and lists. Scores that no seal covers
    are removed: they were made of what has changed. Raises MachineError where a file cannot be written; each file is
    replaced whole or not at all, and asking again goes on.
    """
    sealed = folder.sealed()
    found: dict[Path, list[Secret]] = {}
    for path in _rewritable(folder):
        name = path.relative_to(folder.path).as_posix()
        if name not in sealed and (here := [one for one in scan_file(path, name) if one.digest not in allow]):
            found[path] = here
    if not found:
        return
    _record(folder, sealed, [secret for here in found.values() for secret in here])
    try:
        for path, here in found.items():
            write_atomic(_as_lines(path), _without(path, {secret.line for secret in here}, allow))
            path.with_suffix(".parquet").unlink(missing_ok=True)
        for path in journal.segments(folder.scores):
            if path.relative_to(folder.path).as_posix() not in sealed:
                path.unlink()
    except OSError as error:
        raise MachineError(f"cannot rewrite {folder.path}", layer="redaction", errno=error.errno) from error


def redactions(folder: RunFolder) -> list[dict[str, Any]]:
    """What was taken out of a run before it was sealed, each place once."""
    found = (record for _, _, record in journal.read(folder.path / "redactions"))
    return list({canonical(record): record for record in found}.values())


def _record(folder: RunFolder, sealed: Collection[str], secrets: list[Secret]) -> None:
    names = frozenset(Path(name).name for name in sealed if name.startswith("redactions/"))
    writer = journal.Writer(journal.next_segment(folder.path / "redactions", names))
    try:
        for secret in secrets:
            writer.append(secret.to_json())
    finally:
        writer.close()


def _rewritable(folder: RunFolder) -> list[Path]:
    logs = sorted(folder.path.glob("events*.jsonl"))
    return [*journal.segments(folder.attempts), *journal.segments(folder.controls), *logs]


def _as_lines(path: Path) -> Path:
    return path.with_suffix(".jsonl") if path.suffix == ".parquet" else path


def _without(path: Path, lines: set[int], allow: Collection[str]) -> Iterator[bytes]:
    with journal.opened(path) as file:
        for number, line in enumerate(file, 1):
            yield canonical(replaced(orjson.loads(line), allow)) + b"\n" if number in lines else line
