"""Where verdicts are kept: in `verdicts/` of the run that was gated, each in a file named after its own digest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import MachineError
from assay.files import digest_of, pretty, write_atomic
from assay.gates.evidence import Evidence


def keep(document: Mapping[str, Any], run: Path, evidence: Evidence) -> Path | None:
    """Write a result beside a sealed run's files; the same result again is the same file.

    None where the run is not sealed: nothing is written into a run that another process may be working on, nor into one
    whose files cannot be trusted. Raises MachineError where it cannot be written.
    """
    if evidence.state != "sealed":
        return None
    path = run / "verdicts" / f"{document['gate']}-{digest_of(dict(document))[:16]}.json"
    try:
        write_atomic(path, pretty(dict(document)))
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="verdict", errno=error.errno) from error
    return path
