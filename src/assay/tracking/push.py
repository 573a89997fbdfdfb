"""Logging a sealed run to MLflow: the same run again changes nothing, and what was stopped half-way is finished.

Each child, and the parent last, carries a digest of all that is logged of it; what has the right one is left alone. The
parent names the seal that is logged: only the same seal or a later layer of it is logged over it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from assay.errors import AssayError, BackendUnreachable, ConfigError, MachineError
from assay.evidence.manifest import covered, is_signature, layers, read_manifest
from assay.evidence.verify import subject_of
from assay.files import digest, digest_file
from assay.run.folder import RunFolder
from assay.session import Run
from assay.tracking import archive, chunks, layout, memory, store
from assay.tracking.client import PATIENT, Client, Patience, Seen
from assay.tracking.layout import Unit
from assay.tracking.memory import Tracked
from assay.tracking.target import Target
from assay.tracking.units import Content, content

CLAIM = "assay.logging"
CLAIM_SECONDS = 600

Progress = Callable[[int, int], None]
"""Hears how many of how many MLflow runs are as they should be."""


@dataclass
class Pushed:
    """What logging came to."""

    run: Path
    target: Target
    experiment: str
    parent: str
    manifest: str
    store: store.Kind
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    traces: int = 0
    feedback: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where people look at it."""
        return f"{self.target.uri}/#/experiments/{self.experiment}/runs/{self.parent}"

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        counts = {name: getattr(self, name) for name in ("created", "updated", "unchanged", "traces", "feedback")}
        return {
            "run": str(self.run),
            "uri": self.target.uri,
            "experiment": self.target.experiment,
            "parent": self.parent,
            "manifest": self.manifest,
            "store": self.store,
            "url": self.url,
            **counts,
            "notes": self.notes,
        }


def push(
    path: Path,
    target: Target,
    *,
    patience: Patience = PATIENT,
    progress: Progress = lambda done, total: None,
) -> Pushed:
    """Log a sealed run, or what of it is not logged yet.

    Raises ConfigError where the run is not sealed, or the server holds a layer that this one is not made from,
    EvidenceError where the run is not what was sealed, BackendUnreachable and MachineError where the server fails: what
    is logged by then stays, and the same call goes on.
    """
    folder = RunFolder(path)
    plan = folder.plan()
    if not folder.manifest.exists():
        hint = "finish it, then seal it; what holds a secret is not logged anywhere"
        raise ConfigError(f"{path}: this run was never sealed, and only sealed runs are tracked", hint=hint)
    subject_of(path)
    with memory.lock(path):
        before = memory.recall(path)
        logged = before.manifest if before and before.target == target else None
        memory.remember(Tracked(path, target, logged, before.parent if before else None, "not finished"))
        try:
            pushed = _push(Run(path, plan), target, Client(target.uri, patience), progress)
        except AssayError as error:
            memory.remember(Tracked(path, target, logged, before.parent if before else None, error.message))
            raise
        memory.remember(Tracked(path, target, pushed.manifest, pushed.parent))
    return pushed


def _push(run: Run, target: Target, client: Client, progress: Progress) -> Pushed:
    client.check()
    experiment = client.experiment(target.experiment, create=True)
    with TemporaryDirectory(prefix="assay-track-") as temporary:
        made = content(run, target.granularity, Path(temporary))
        work = _Work(client, experiment, run, target, made)
        return work.done(progress)


class _Work:
    """One run being logged."""

    def __init__(self, client: Client, experiment: str, run: Run, target: Target, made: Content) -> None:
        self.client, self.experiment, self.run, self.target, self.made = client, experiment, run, target, made
        folder = RunFolder(run.path)
        self.manifest = read_manifest(folder.manifest)
        self.earlier = layers(folder)
        self.started, self.ended = layout.times(run.results)
        self.step = len(self.earlier)
        self.at = int(time.time() * 1000)
        self.there: dict[str, Seen] = {}

    @property
    def root(self) -> str:
        """The id of the run's first seal: two runs of one plan are two parents, a judged run is the same one."""
        seals = [*self.earlier.values(), self.manifest]
        first = (seal["id"] for seal in seals if not any(parent["kind"] == "manifest" for parent in seal["parents"]))
        return str(min(first, default=self.manifest["id"]))

    def done(self, progress: Progress) -> Pushed:
        """Log it all; the parent's tags, which say that it is whole, come last."""
        parent = self._parent()
        self._check_layer(parent)
        self.there = self._children(parent)
        kind = parent.tags.get(layout.STORE, "")
        if kind == "artifacts" and self._is_logged(parent):
            pushed = self._pushed(parent, "artifacts")
            pushed.unchanged = len(self.made.units) + 1
        else:
            with self._claimed(parent):
                self._drop_doubles(parent)
                pushed = self._log_all(parent, progress)
        if self.target.traces:
            from assay.tracking import feedback

            pushed.traces, pushed.feedback = feedback.push(
                self.client, self.experiment, self.run, self.root, self.there, pushed.notes
            )
        return pushed

    def _pushed(self, parent: Seen, kind: store.Kind) -> Pushed:
        return Pushed(self.run.path, self.target, self.experiment, parent.id, self.manifest["id"], kind)

    def _is_logged(self, parent: Seen) -> bool:
        """Whether all of it is there already, in the artifact store."""
        whole = parent.status == "FINISHED" and parent.tags.get(layout.CONTENT) == self._parent_content("artifacts")
        return whole and all(self._is_same(unit, "artifacts") for unit in self.made.units)

    def _is_same(self, unit: Unit, kind: store.Kind) -> bool:
        seen = self.there.get(unit.key)
        content = self.made.digest(unit, {"store": kind})
        return seen is not None and seen.status == "FINISHED" and seen.tags.get(layout.CONTENT) == content

    def _log_all(self, parent: Seen, progress: Progress) -> Pushed:
        place = store.choose(self.client, parent)
        pushed = self._pushed(parent, place.kind)
        if place.why:
            pushed.notes.append(f"files are kept in tags: {place.why}")
        total = len(self.made.units) + 1
        for number, unit in enumerate(self.made.units):
            progress(number, total)
            self._count(pushed, self._log(unit, parent, place))
        progress(total - 1, total)
        self._count(pushed, self._log_parent(parent, place, pushed))
        progress(total, total)
        return pushed

    @contextmanager
    def _claimed(self, parent: Seen) -> Iterator[None]:
        """Keep others from logging the same run at the same time, who would make every child twice.

        A claim is a tag with a time; one that is ten minutes old is of a process that was killed. Ours is known again
        by the machine and the folder, so that what was killed here goes on at once. Raises MachineError.
        """
        self._check_claim(parent)
        own = f"{self._writer} {int(time.time())}"
        self.client.log(parent.id, {}, {}, {CLAIM: own}, self.at)
        self._check_claim(self.client.run(parent.id))
        self._check_only(parent)
        try:
            yield
        except BackendUnreachable:
            raise  # there is nobody to tell
        except AssayError:
            with suppress(AssayError):
                self.client.drop_tag(parent.id, CLAIM)
            raise
        self.client.drop_tag(parent.id, CLAIM)

    @property
    def _writer(self) -> str:
        return digest(f"{platform.node()}\n{self.run.path.resolve()}".encode())[:16]

    def _check_claim(self, parent: Seen) -> None:
        writer, _, at = parent.tags.get(CLAIM, "").partition(" ")
        fresh = at.isdecimal() and time.time() - int(at) < CLAIM_SECONDS
        if fresh and writer != self._writer:
            raise self._busy()

    def _busy(self) -> MachineError:
        message = f"another machine or folder is logging this run to {self.target.uri} just now"
        return MachineError(message, layer="tracking", hint="try again when it is done, or in ten minutes")

    @staticmethod
    def _count(pushed: Pushed, what: str) -> None:
        setattr(pushed, what, getattr(pushed, what) + 1)

    def _children(self, parent: Seen) -> dict[str, Seen]:
        """The children that are there, by their units' keys; of doubles the one with the least id."""
        found: dict[str, Seen] = {}
        for seen in self.client.runs(self.experiment, {"mlflow.parentRunId": parent.id}):
            key = seen.tags.get(layout.KEY, "")
            if key not in found or seen.id < found[key].id:
                found[key] = seen
        return found

    def _drop_doubles(self, parent: Seen) -> None:
        """Delete what two processes made twice; with the claim there is one at a time."""
        self.there = self._children(parent)
        kept = {seen.id for seen in self.there.values()}
        for seen in list(self.client.runs(self.experiment, {"mlflow.parentRunId": parent.id})):
            if seen.id not in kept and seen.tags.get(layout.KEY):
                self.client.delete(seen.id)

    @property
    def _names(self) -> dict[str, str]:
        """The tags by which the parent is known."""
        return {layout.PLAN: self.run.plan.digest, layout.ROOT: self.root, layout.KEY: layout.PARENT_KEY}

    def _parent(self) -> Seen:
        """The parent run: the one that is there, or a new one."""
        found = _first(self.client.runs(self.experiment, self._names))
        if found is not None:
            return found
        tags = {**self._names, layout.GRAIN: self.target.granularity}
        return self.client.create(self.experiment, self.made.parent.name, tags, self.started)

    def _check_only(self, parent: Seen) -> None:
        """Where two made a parent at the same time, both have claimed theirs by now, and both pick the same one: the
        other is deleted. Raises MachineError for the one that lost.
        """
        first = _first(self.client.runs(self.experiment, self._names))
        if first is not None and first.id != parent.id:
            self.client.delete(parent.id)
            raise self._busy()

    def _check_layer(self, parent: Seen) -> None:
        """Raise ConfigError where what is logged there is not what this layer was made from."""
        there = parent.tags.get(layout.MANIFEST)
        known = {self.manifest["id"], *(seal["id"] for seal in self.earlier.values())}
        if there is not None and there not in known:
            message = f"{self.target.uri} holds a newer layer of {self.run.path} than this one was made from ({there})"
            hint = (
                "somebody judged or scored it elsewhere meanwhile: ask again with --experiment, which fetches it first"
            )
            raise ConfigError(message, hint=hint)
        grain = parent.tags.get(layout.GRAIN, self.target.granularity)
        if grain != self.target.granularity:
            message = f"{self.run.path} is logged there already with one MLflow run a {grain}"
            raise ConfigError(message, hint=f"use --granularity {grain}, or another --experiment")

    def _log(self, unit: Unit, parent: Seen, place: store.Store) -> str:
        """One child; returns what became of it."""
        seen = self.there.get(unit.key)
        content = self.made.digest(unit, {"store": place.kind})
        if self._is_same(unit, place.kind):
            return "unchanged"
        tags = {
            "mlflow.parentRunId": parent.id,
            layout.PLAN: self.run.plan.digest,
            layout.KEY: unit.key,
            **unit.tags,
        }
        at = seen or self.client.create(self.experiment, unit.name, tags, self.started)
        self.there[unit.key] = at
        texts = place.put(at, self.made.files[unit.key])
        final = {layout.MANIFEST: self.manifest["id"], layout.STORE: place.kind, layout.CONTENT: content}
        self._send(at, unit, {**tags, **texts, **final})
        if unit.dataset and not any(name == unit.dataset[0] for name, _ in at.datasets):
            self.client.dataset(at.id, *unit.dataset)
        self.client.finish(at.id, self.ended)
        return "updated" if seen else "created"

    def _send(self, at: Seen, unit: Unit, tags: Mapping[str, str]) -> None:
        """What is not there yet, or otherwise."""
        metrics = {name: value for name, value in unit.metrics.items() if at.metrics.get(name) != value}
        params = {name: value for name, value in unit.params.items() if name not in at.params}
        changed = {name: value for name, value in tags.items() if at.tags.get(name) != value}
        if gone := sorted(set(at.metrics) - set(unit.metrics)):
            changed = {"assay.outdated_metrics": layout.tag(", ".join(gone)), **changed}
        self.client.log(at.id, metrics, params, changed, self.at, self.step)

    def _log_parent(self, parent: Seen, place: store.Store, pushed: Pushed) -> str:
        """The run directory and the totals."""
        files = dict(run_files(self.run.path))
        content = self._parent_content(place.kind)
        if parent.status == "FINISHED" and parent.tags.get(layout.CONTENT) == content:
            self._say_refused(pushed, parent.tags)
            return "unchanged"
        texts = place.put_run(parent, files, self._known(parent, place))
        self._say_refused(pushed, texts)
        self._check_layer(self.client.run(parent.id))
        final = {
            layout.STORE: place.kind,
            "assay.traces": str(self.target.traces).lower(),
            layout.MANIFEST: self.manifest["id"],
            layout.CONTENT: content,
        }
        self._send(parent, self.made.parent, {**self.made.parent.tags, **texts, **final})
        self.client.finish(parent.id, self.ended)
        return "updated" if layout.MANIFEST in parent.tags else "created"

    def _parent_content(self, kind: store.Kind) -> str:
        """What the parent comes to: the sealed files by their manifest, and those that no seal covers."""
        sealed = {str(file["path"]) for file in self.manifest["files"]}
        loose = {name: digest_file(path) for name, path in run_files(self.run.path) if name not in sealed}
        further = {"store": kind, "manifest": self.manifest["id"], "traces": str(self.target.traces)}
        return self.made.parent.digest(loose, further)

    @staticmethod
    def _say_refused(pushed: Pushed, tags: Mapping[str, str]) -> None:
        if why := chunks.refused(archive.NAME, tags):
            pushed.notes.append(f"the run directory is not logged, so that nobody can judge or rank from there: {why}")

    def _known(self, parent: Seen, place: store.Store) -> dict[str, str]:
        """The digests of the files of the run directory that are there, by the seal that is logged."""
        if parent.tags.get(layout.STORE) != place.kind:
            return {}
        seals = {seal["id"]: seal for seal in (*self.earlier.values(), self.manifest)}
        seal = seals.get(parent.tags.get(layout.MANIFEST, ""))
        return {str(file["path"]): str(file["sha256"]) for file in seal["files"]} if seal else {}


def _first(found: Iterator[Seen]) -> Seen | None:
    """Of several, one that is whole, else one that is claimed, else the one with the least id: all pick the same."""
    return min(
        found,
        key=lambda seen: (layout.MANIFEST not in seen.tags, CLAIM not in seen.tags, seen.id),
        default=None,
    )


def run_files(path: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a sealed run by its name in it: what is sealed, the manifests, signatures and verdicts."""
    for file in covered(path):
        yield file.relative_to(path).as_posix(), file
    yield "manifest.json", path / "manifest.json"
    for file in sorted(path.rglob("*.sig.json")):
        name = file.relative_to(path)
        if is_signature(name) and file.is_file() and not file.is_symlink():
            yield name.as_posix(), file


def link(pushed: Pushed) -> str:
    """One line for people: where it is, and what was done."""
    counts = ", ".join(f"{getattr(pushed, name)} {name}" for name in ("created", "updated", "unchanged"))
    return f"{pushed.run}: {pushed.url} ({counts})"


def unfinished(tracked: Tracked) -> str | None:
    """Why a run that is to be tracked is not logged as it is now; None where it is."""
    folder = RunFolder(tracked.run)
    if not folder.manifest.exists():
        return "the run is not sealed yet"
    now = read_manifest(folder.manifest)["id"]
    if tracked.manifest == now and tracked.why is None:
        return None
    return tracked.why or "it was judged, scored or sealed again since"
