"""`replay:` recorded completions: a JSONL file, or a run directory. No model answers, so the run is synthetic."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.document import nearest
from assay.errors import ConfigError, EvidenceError, Problem, Rejected
from assay.files import digest_of, read_json
from assay.models.backend import Backend, Option, what
from assay.models.base import Capabilities, Model
from assay.models.digests import cached_digest
from assay.models.recording import Recording, lines_of, read_lines, read_run, segments
from assay.records import Completion, Request

if TYPE_CHECKING:
    from assay.spec.schema import ModelSpec

_OPTIONS = {
    "model": Option(str, "whose answers, where the recorded run has several models"),
    "prompt": Option(str, "to which prompt, where the recorded run has several"),
}
_PLAN = "assay.plan.v1"


class ReplayModel(Model):
    """Answers what was answered before, looked up by task, sample and epoch."""

    synthetic = True

    def __init__(self, spec: ModelSpec) -> None:
        self._path = Path(what(spec)).expanduser()
        if not self._path.exists():
            allowed = "a JSONL file of completions, or a run directory"
            raise ConfigError(Problem(f"{self._path}: there is no such file or folder", allowed=allowed))
        self._run = self._path.is_dir()
        self._cells = _cells(self._path, spec.options) if self._run else {}
        self.name = spec.name or f"replay-{self._path.stem}"
        self._recording: Recording | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """The recording's digest; of a run, that of its journal and of the cells it is read from."""
        if not self._run:
            digest = cached_digest(self._path)
        else:
            digest = digest_of([sorted(self._cells), *map(cached_digest, segments(self._path))])
        return {"backend": "replay", "model": self._path.name, "digest": digest}

    @property
    def capabilities(self) -> Capabilities:
        """Whatever was recorded; the likelihood of choices where the recording starts with some."""
        choices = self._run and all(cell["mode"] == "choices" for cell in self._cells.values())
        if not self._run:
            first = next(islice(lines_of(self._path, torn=False), 1), None)
            completion = first[2].get("completion") if first else None
            choices = isinstance(completion, dict) and bool(completion.get("choices"))
        return Capabilities(chat=True, completion=True, choices=choices, seed=False, determinism="recorded")

    async def start(self) -> None:
        """Find every recorded completion. Raises ConfigError that names the line that is wrong."""
        self._recording = await asyncio.to_thread(self._read)

    def _read(self) -> Recording:
        if self._run:
            return read_run(self._path, {number: cell["task"] for number, cell in self._cells.items()})
        return read_lines(self._path)

    async def complete(self, request: Request) -> Completion:
        """The recorded completion of the attempt that `request.key` names."""
        task, _, rest = request.key.partition("/")
        sample, _, epoch = rest.rpartition("/")
        if self._recording is None or not epoch.isdecimal():
            raise Rejected(f"no recorded completion for {request.key!r}")
        completion = self._recording.get(task, sample, int(epoch))
        if len(completion.choices) != len(request.choices):
            raise Rejected(f"{request.key}: the recorded completion does not score these choices")
        return completion

    async def stop(self) -> None:
        """Forget the positions."""
        self._recording = None

    def environment(self) -> Mapping[str, str]:
        """How many completions were found."""
        return {"recorded": str(len(self._recording))} if self._recording else {}


def _cells(folder: Path, options: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """The cells of a run to replay, by number: one for a task, so that an attempt has one answer."""
    try:
        cells = dict(enumerate(read_json(folder / "plan.json", _PLAN)["cells"]))
        for key in ("model", "prompt"):
            cells = _chosen(cells, key, options.get(key))
        return cells
    except (EvidenceError, KeyError, TypeError, AttributeError) as error:
        message = error.message if isinstance(error, EvidenceError) else f"{folder}/plan.json is no plan: {error!r}"
        raise ConfigError(Problem(message, allowed="a JSONL file of completions, or a run directory")) from None


def _chosen(cells: Mapping[int, dict[str, Any]], key: str, wanted: Any) -> dict[int, dict[str, Any]]:
    found = sorted({cell[key] for cell in cells.values()})
    if wanted is None and len(found) > 1:
        message = f"the recorded run has {len(found)} {key}s: option {key!r} has to say which"
        raise ConfigError(Problem(message, key=f"options.{key}", allowed=", ".join(found)))
    if wanted is not None and wanted not in found:
        near = nearest(str(wanted), found)
        message = f"the recorded run has no {key} {wanted!r}"
        raise ConfigError(Problem(message, key=f"options.{key}", allowed=", ".join(found), nearest=near))
    return {number: cell for number, cell in cells.items() if wanted is None or cell[key] == wanted}


BACKEND = Backend(
    name="replay",
    usage="replay:FILE_OR_RUN",
    summary="recorded completions: a JSONL file or a run directory; marks the run synthetic",
    build=ReplayModel,
    options=_OPTIONS,
)
