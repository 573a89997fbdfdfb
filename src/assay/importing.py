"""Other tools' results as runs: read, checked, planned, written and sealed as kind `import`.

The scores come from the other tool, so they cannot be derived again; the evidence says so, and names the source by its
digest. Nothing is written before all of it has been read and found sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from assay.errors import AssayError, ConfigError, MachineError, SecretFound
from assay.evidence.manifest import seal
from assay.files import canonical, pretty, write_atomic
from assay.importers import copy
from assay.importers.bounded import MOST_JSON, digest_of_source, refuse
from assay.importers.draft import Draft, draft
from assay.importers.registry import Importer, find
from assay.importers.survey import survey
from assay.run.folder import RunFolder
from assay.run.imported import NAME
from assay.run.results import results
from assay.run.state import State
from assay.session import Run, run_path, write_report


def import_run(
    format: str,
    path: str | Path,
    out: str | Path | None = None,
    *,
    command: Sequence[str] = (),
    allow_secrets: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Run:
    """The results of another tool as a sealed run; the same files asked again show the finished one.

    `format`: a name of the entry-point group `assay.importers`, such as `lm-eval`. `out` defaults to
    `runs/<tool>-<title>-<plan digest, 8 hex>`. `say` is told what is being done. Raises ConfigError for an unknown
    format and for files that are malformed, cut off, mixed up, or not what their own totals say (nothing is written);
    SecretFound where the evidence holds what looks like a secret (`allow_secrets` names digests of what is none).
    """
    importer = find(format)
    say("reading")
    planned = _read(importer, Path(path), format)
    source, files = planned.survey.source, planned.origin.sources
    folder = RunFolder(run_path(planned.plan, Path(out) if out is not None else None))
    if _prepare(folder, planned):
        say(f"{folder.path} is imported and sealed already")
        return Run(folder.path, planned.plan)
    with folder.lock():
        _carry_out(folder, planned, say)
        say("sealing")
        sources = [{"kind": "source", "path": str(file["name"]), "sha256": str(file["sha256"])} for file in files]
        environment = {"models": {}, "data": {}, "imported": {"tool": source.tool, "version": source.version}}
        try:
            seal(
                folder, planned.plan, command=command, environment=environment, kind="import", parents=sources,
                allow=allow_secrets,
            )  # fmt: skip
        except SecretFound as error:
            error.hint = (
                "what is no secret: ask again with --allow-secret DIGEST; a secret: take it out of the file first"
            )
            raise
    return Run(folder.path, planned.plan)


def _read(importer: Importer, path: Path, format: str) -> Draft:
    """The plan of what is at a path, after all of it has been read."""
    try:
        source = importer.open(path)
        files = tuple(digest_of_source(file) for file in source.files)
        planned = draft(survey(source), format, files)
        content = canonical(planned.plan.to_json())
    except (RecursionError, orjson.JSONEncodeError):
        raise refuse(path, "nested too deeply, or holds text that is no Unicode") from None
    if len(content) > MOST_JSON:
        raise refuse(
            path, "its settings and sample ids are too large for a plan", allowed=f"at most {MOST_JSON >> 20} MiB"
        )
    return planned


def _prepare(folder: RunFolder, planned: Draft) -> bool:
    """Make the run directory; True where it holds this very import, sealed. Raises ConfigError for other content."""
    if folder.exists:
        if not folder.holds(planned.plan):
            raise ConfigError(f"{folder.path} holds another plan", hint="choose another --out")
        return folder.manifest.exists()
    if folder.path.exists() and not folder.path.is_dir():
        raise ConfigError(f"{folder.path} is not a directory", hint="choose another --out")
    if folder.path.exists() and any(folder.path.iterdir()) and not (folder.path / "samples").is_dir():
        raise ConfigError(f"{folder.path} is not empty and holds no run", hint="choose another --out")
    folder.create(planned.plan, copy.samples(planned))
    return False


def _carry_out(folder: RunFolder, planned: Draft, say: Callable[[str], None]) -> None:
    plan = planned.plan
    say("writing attempts and scores")
    try:
        copy.rows(folder, planned)
        write_atomic(folder.path / NAME, pretty(planned.origin.to_json()))
        say("summing up")
        write_atomic(folder.results, pretty(results(folder, plan, State.read(folder, plan))))
        say("writing the report")
        write_report(folder.path, plan)
    except OSError as error:
        raise MachineError(f"cannot write {folder.path}", layer="run directory", errno=error.errno) from error
    except AssayError as error:
        error.hint = error.hint or f"ask again to make {folder.path} anew from its source"
        raise
