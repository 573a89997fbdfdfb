"""A run as gates see it: read from its sealed files, after their digests were checked, as arrays of numbers.

Completions are passed over, so a million attempts take a few dozen bytes each. What cannot be trusted is not read:
such a run is `damaged`, one without a seal is `running`, `resumable`, `killed` or `failed`, and gates say so.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from assay.errors import AssayError, ConfigError, EvidenceError, FailureClass, JournalCorrupt
from assay.evidence.manifest import layers, read_manifest
from assay.evidence.read_judged import Judging, judgings
from assay.evidence.verify import subject_of
from assay.files import digest_file, digest_of
from assay.gates.evidence import OUTCOMES, CellEvidence, Controls, Evidence, Metric, State, Until
from assay.plan.plan import Plan, ScorerPlan
from assay.run import imported, journal, until
from assay.run.controls import controls
from assay.run.folder import RunFolder
from assay.run.frame import connect, json_lines
from assay.run.scores import planned, scorer_id

_RESUMABLE = ("Interrupted", "BudgetExhausted")
_CATEGORIES = ("category", "subject", "domain")
"""Sample metadata that a breakdown is made by: the first of these that the samples have."""

_TIERS = ("none", "macos", "reduced", "full")
_NAMES = ", ".join(f"'{outcome.value}'" for outcome in OUTCOMES)
_ATTEMPT = {
    "index": "BIGINT",
    "cell": "BIGINT",
    "revision": "BIGINT",
    "sample": "VARCHAR",
    "epoch": "BIGINT",
    "outcome": "VARCHAR",
    "latency_s": "DOUBLE",
    "completion": "STRUCT(tokens_out BIGINT)",
    "error": "STRUCT(type VARCHAR)",
}
_SCORE = {
    "index": "BIGINT",
    "cell": "BIGINT",
    "revision": "BIGINT",
    "scorer": "VARCHAR",
    "error": "VARCHAR",
    "execution": "STRUCT(tier VARCHAR, forgeable BOOLEAN)",
}
_LABEL = "coalesce(json_extract_string(metadata, {place}), json_extract_string(fields, {place}))"
_KINDS = {"pass": "BOOLEAN", "measure": "DOUBLE", "label": "VARCHAR"}


def read(path: Path, manifest: str | None = None) -> Evidence:
    """The evidence in a run directory; with `manifest`, as the seal of that id had it.

    Raises ConfigError where there is no run, or no such seal.
    """
    folder = RunFolder(path)
    if not folder.exists:
        raise ConfigError(f"{path}: not a run directory (it has no plan.json)")
    name = path.resolve().name
    if not folder.manifest.exists():
        state, why, kind = standing(folder)
        return Evidence(name, state, why=why, error=kind.value if kind else None)
    try:
        subject_of(path)
        return _sealed(folder, name, _layer(folder, manifest))
    except EvidenceError as error:
        return Evidence(name, "damaged", why=error.message, error=FailureClass.EVIDENCE_INVALID.value)


def standing(folder: RunFolder) -> tuple[State, str, FailureClass | None]:
    """How a run without a seal stands, in words, and what kind of failure that is."""
    if _locked(folder):
        return "running", "a process is still working on it: gate it when it is sealed", FailureClass.INFRA_TRANSIENT
    stopped = _last_stop(folder.path)
    if stopped is None:
        reason = "it was killed before it was sealed: nothing says how it ended; ask for it again to resume"
        return "killed", reason, FailureClass.UNKNOWN
    name, message = stopped
    if name in _RESUMABLE:
        return "resumable", f"it stopped ({message}): ask for it again to resume", FailureClass.INFRA_TRANSIENT
    return "failed", f"it failed: {name}: {message}", _class_of(name)


def _locked(folder: RunFolder) -> bool:
    with (folder.path / "plan.json").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _last_stop(path: Path) -> tuple[str, str] | None:
    """The error that ended the last session, by its type's name and its message; None where nothing did."""
    found: tuple[str, str] | None = None
    for file in sorted(path.glob("events*.jsonl"), key=lambda each: (len(each.name), each.name)):
        for line in file.read_bytes().splitlines():
            try:
                record = orjson.loads(line)
                if record["event"] == "run_started":
                    found = None
                elif record["event"] == "stopped":
                    found = (str(record["fields"]["error"]), str(record["fields"]["message"]))
            except (orjson.JSONDecodeError, KeyError, TypeError):
                continue  # a torn line of progress says nothing, and no number rests on it
    return found


def _class_of(name: str) -> FailureClass:
    """The failure class of an error by its type's name: the tree of errors decides, never the words of a message."""
    if name == "BackendUnreachable":
        return FailureClass.DEPLOYMENT_HEALTH_FAILED
    kinds = {kind.__name__: kind for kind in _tree(AssayError)}
    return (kinds[name].failure_class if name in kinds else None) or FailureClass.UNKNOWN


def _tree(root: type[AssayError]) -> Iterator[type[AssayError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _tree(kind)


def _layer(folder: RunFolder, wanted: str | None) -> Path:
    """The manifest of that id: the newest, or one that was set aside. Raises ConfigError where there is none."""
    if wanted is None or read_manifest(folder.manifest)["id"] == wanted:
        return folder.manifest
    for path, manifest in layers(folder).items():
        if manifest["id"] == wanted:
            return path
    raise ConfigError(f"{folder.path}: has no seal {wanted}")


@dataclass(frozen=True, slots=True)
class _Source:
    """A run's plan, its current scorers, and the journal's segments that are read: those that the seal covers. `asked`
    is how many samples of each task were asked where that need not be all of them, `judgings` what judges said."""

    folder: RunFolder
    plan: Plan
    scorers: Mapping[str, ScorerPlan]
    attempts: Sequence[Path]
    scores: Sequence[Path]
    asked: Mapping[str, int] | None = None
    judgings: Sequence[Judging] = ()

    @property
    def names(self) -> dict[str, str]:
        return {task: scorer_id(scorer) for task, scorer in self.scorers.items()}


def _sealed(folder: RunFolder, name: str, path: Path) -> Evidence:
    manifest = read_manifest(path)
    plan = folder.plan()
    if manifest["plan"] != plan.digest:
        raise EvidenceError(f"{folder.path}: the manifest seals another plan than plan.json")
    listed = [folder.path / file["path"] for file in manifest["files"]]
    attempts, scored = (
        journal.one_each(each for each in listed if each.parent == part) for part in (folder.attempts, folder.scores)
    )
    record = until.read(folder)
    seen = until.looked(folder) if record else []
    asked = (seen[-1].samples if seen else dict.fromkeys(plan.tasks, 0)) if record else None
    said = judgings(folder, plan, listed)
    cells = _read_cells(_Source(folder, plan, _scorers(scored, plan), attempts, scored, asked, said))
    return Evidence(
        run=name,
        state="sealed",
        cells=cells,
        manifest=manifest["id"],
        plan=plan.digest,
        synthetic=plan.synthetic or bool(manifest["synthetic"]),
        kind="import" if manifest["kind"] == "import" else "run",
        digest=digest_file(path),
        until=_until(record, len(seen), seen[-1] if seen else None),
    )


def snapshot(folder: RunFolder, plan: Plan, asked: Mapping[str, int], look: int) -> Evidence:
    """A run at work, as far as it was asked at a look: for the process that works on it, and for no gate but that one.

    Raises EvidenceError where the journal is not what assay writes.
    """
    attempts, scored = journal.segments(folder.attempts), journal.segments(folder.scores)
    cells = _read_cells(_Source(folder, plan, _scorers(scored, plan), attempts, scored, asked))
    held = _until(until.read(folder), look, None)
    name = folder.path.resolve().name
    return Evidence(name, "running", cells, plan=plan.digest, synthetic=plan.synthetic, until=held)


def _until(record: until.Record | None, count: int, last: until.Look | None) -> Until | None:
    if record is None:
        return None
    digest, baseline = record.policy["digest"], record.baseline.get("manifest")
    known = Until(digest, baseline, record.block, count)
    if last is None:
        return known
    bounds = {task["task"]: (task["low"], task["high"]) for task in last.tasks}
    return replace(known, verdict=last.verdict, bounds=bounds)


def expected(plan: Plan) -> Evidence:
    """A plan as gates would see its run, without an attempt: what it asks, and how it would be scored."""
    scorers = planned(plan)
    names = {task: scorer_id(scorer) for task, scorer in scorers.items()}
    cells = tuple(_unasked(plan, number, scorers, names) for number in range(len(plan.cells)))
    return Evidence(plan.name, "running", cells, plan=plan.digest, synthetic=plan.synthetic)


def _unasked(plan: Plan, number: int, scorers: Mapping[str, ScorerPlan], names: Mapping[str, str]) -> CellEvidence:
    cell, nothing = plan.cells[number], np.zeros(0)
    scorer = scorers.get(cell.task)
    return CellEvidence(
        model=cell.model,
        prompt=cell.prompt,
        task=cell.task,
        samples=plan.tasks[cell.task].samples,
        planned=plan.tasks[cell.task].attempts,
        position=nothing.astype(np.int64),
        epoch=nothing.astype(np.int64),
        outcome=nothing.astype(np.uint8),
        values={},
        tokens=nothing,
        latency=nothing,
        metrics=tuple(_metric(metric) for metric in (scorer.metrics if scorer else ())),
        facts=_facts(plan, names, number, {}),
    )


def _read_cells(source: _Source) -> tuple[CellEvidence, ...]:
    try:
        return tuple(_cells(source))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise EvidenceError(f"{source.folder.path}: not what assay writes ({error!r})") from error


def _scorers(segments: Sequence[Path], plan: Plan) -> Mapping[str, ScorerPlan]:
    """The scorers that count: those in the header of the newest segment, the plan's where nothing was scored."""
    if not segments:
        return planned(plan)
    header = orjson.loads(journal.first_line(segments[-1]))
    return {
        task: ScorerPlan(**{**scorer, "metrics": tuple(scorer["metrics"])})
        for task, scorer in header["scorers"].items()
    }


def _cells(source: _Source) -> Iterator[CellEvidence]:
    """Every cell of the plan, from one pass over the journal and one over the scores."""
    plan = source.plan
    attempts = _attempts(source)
    scored = _scored(source, len(plan))
    checked = controls(source.folder, source.names)
    samples = {task: _samples(source.folder, plan, task) for task in plan.tasks}
    totals = imported.aggregates(source.folder.path, plan)
    newest = attempts["revision"]
    failed = scored["failed"] & (scored["revision"] == newest)
    outcome = np.where(failed, OUTCOMES.index(_scorer_error()), attempts["outcome"]).astype(np.uint8)
    for number in range(len(plan.cells)):
        first, last = plan.starts[number], plan.starts[number + 1]
        rows = first + np.flatnonzero(newest[first:last] >= 0)
        current = (scored["revision"][rows] == newest[rows]) & ~failed[rows]
        found = _cell(source, number, rows, outcome, attempts, scored, current, checked, samples)
        yield replace(found, aggregate=totals[number]) if number in totals else found


def _scorer_error() -> Any:
    from assay.records import Outcome

    return Outcome.SCORER_ERROR


def _cell(
    source: _Source,
    number: int,
    rows: Any,
    outcome: Any,
    attempts: Mapping[str, Any],
    scored: Mapping[str, Any],
    current: Any,
    checked: Mapping[str, Any],
    samples: Mapping[str, Any],
) -> CellEvidence:
    plan = source.plan
    cell = plan.cells[number]
    task, scorer = plan.tasks[cell.task], source.scorers.get(cell.task)
    position, epoch = _places(plan, number, rows)
    if (attempts["sample"][rows] != samples[cell.task]["ids"][position]).any() or (
        attempts["epoch"][rows] != epoch
    ).any():
        raise EvidenceError(f"{source.folder.path}: an attempt of {cell.task} does not belong to the plan")
    order = _order(source, cell.task)
    if order is not None:
        position = _reordered(source, order, position)
    clusters, categories = (_taken(samples[cell.task][name], order) for name in ("clusters", "categories"))
    metrics = tuple(_metric(metric) for metric in (scorer.metrics if scorer else ()))
    judged = [judging for judging in source.judgings if number in judging.cells]
    tiers = {str(tier) for tier in scored["tier"][rows][current] if tier}
    control = checked.get(cell.task, {}).get("control")
    return CellEvidence(
        model=cell.model,
        prompt=cell.prompt,
        task=cell.task,
        samples=_taken(task.samples, order) or (),
        planned=task.attempts if order is None else task.epochs * len(order),
        position=position,
        epoch=epoch,
        outcome=outcome[rows],
        values={
            metric.name: np.where(current, scored["values"][metric.name][rows], np.nan)
            for metric in metrics
            if metric.kind != "label"
        }
        | {name: column[rows] for judging in judged for name, column in judging.values.items()},
        tokens=attempts["tokens"][rows],
        latency=attempts["latency"][rows],
        metrics=metrics,
        facts=_facts(plan, source.names, number, checked),
        clusters=clusters,
        categories=categories,
        errors=_counts(attempts["error"][rows]),
        executes=task.kind == "code" and scorer is not None,
        generates=cell.mode != "choices",
        controls=_controls(control) if control else None,
        tier=min(tiers, key=lambda tier: _TIERS.index(tier) if tier in _TIERS else -1) if tiers else None,
        forgeable=int(np.count_nonzero(scored["forgeable"][rows] & current)),
        of=None if order is None else len(task.samples),
        judged=tuple(judging.cells[number] for judging in judged),
        judged_metrics=tuple(metric for judging in judged for metric in judging.metrics),
    )


def _order(source: _Source, task: str) -> list[int] | None:
    """The positions of the samples that were asked, in the order of the looks; None for a run of a whole plan."""
    return None if source.asked is None else until.order(source.plan, task)[: source.asked[task]]


def _reordered(source: _Source, order: Sequence[int], position: Any) -> Any:
    """Positions in the plan as positions in `order`. Raises EvidenceError for one that was not to be asked."""
    places = np.full(1 + max((*order, *position.tolist()), default=0), -1, dtype=np.int64)
    places[list(order)] = np.arange(len(order))
    if (places[position] < 0).any():
        raise EvidenceError(f"{source.folder.path}: an attempt was made beyond the last look")
    return places[position]


def _taken(values: tuple[str, ...] | None, order: Sequence[int] | None) -> tuple[str, ...] | None:
    return values if values is None or order is None else tuple(values[position] for position in order)


def _metric(value: Mapping[str, Any]) -> Metric:
    return Metric(**{key: value[key] for key in ("name", "kind", "higher_is_better", "low", "high")})


def _controls(value: Mapping[str, Any]) -> Controls:
    failed = tuple(sorted(value["failed"]))
    return Controls(value["passed"] + len(failed), failed)


def _counts(kinds: Any) -> dict[str, int]:
    found = [str(kind) for kind in kinds if kind]
    return {kind: found.count(kind) for kind in sorted(set(found))}


def _places(plan: Plan, number: int, rows: Any) -> tuple[Any, Any]:
    """The sample position and epoch of each attempt of a cell, as the plan enumerates them."""
    task = plan.tasks[plan.cells[number].task]
    offset = np.asarray(rows, dtype=np.int64) - plan.starts[number]
    if not task.counts:
        epoch, position = np.divmod(offset, len(task.samples)) if len(task.samples) else (offset, offset)
        return position, epoch
    firsts = np.concatenate(([0], np.cumsum(task.counts)[:-1]))
    position = np.searchsorted(firsts, offset, side="right") - 1
    return position, offset - firsts[position]


def _attempts(source: _Source) -> dict[str, Any]:
    """Each attempt's newest line, by its index in the plan; revision -1 where it has none.

    Raises JournalCorrupt for an attempt that is not of this plan, or whose revisions repeat or skip.
    """
    total = len(source.plan)
    rows = _query(source.attempts, _ATTEMPT, _ATTEMPTS)
    index, revision = rows["index"], rows["revision"]
    if len(index) and (index.min() < 0 or index.max() >= total):
        raise JournalCorrupt(source.folder.attempts, 0, "an attempt is not of this plan")
    cells = np.searchsorted(np.array(source.plan.starts), index, side="right") - 1
    if (cells != rows["cell"]).any():
        raise JournalCorrupt(source.folder.attempts, 0, "an attempt is of another cell than it says")
    newest = np.full(total, -1, dtype=np.int64)
    np.maximum.at(newest, index, revision)
    keys = np.sort(index * (1 + revision.max(initial=0)) + revision)
    if (keys[1:] == keys[:-1]).any() or (np.bincount(index, minlength=total) != newest + 1).any():
        raise JournalCorrupt(source.folder.attempts, 0, "an attempt repeats or skips a revision")
    chosen = revision == newest[index]
    where = index[chosen]
    found: dict[str, Any] = {"revision": newest}
    for name, empty in (("outcome", 0), ("epoch", -1), ("tokens", np.nan), ("latency", np.nan)):
        found[name] = np.full(total, empty, dtype=np.float64 if empty != empty else np.int64)
        found[name][where] = rows[name][chosen]
    for name in ("sample", "error"):
        found[name] = np.full(total, None, dtype=object)
        found[name][where] = rows[name][chosen]
    return found


_ATTEMPTS = f"""
SELECT "index", cell, revision, sample, epoch, list_position([{_NAMES}], outcome) - 1 AS outcome,
latency_s AS latency, completion.tokens_out AS tokens, error.type AS error FROM {{lines}}
"""  # noqa: S608 - outcomes are our own words


def _scored(source: _Source, total: int) -> dict[str, Any]:
    """Each attempt's newest score by the current scorer, by index; revision -1 where it has none."""
    kinds = {
        str(metric["name"]): str(metric["kind"]) for scorer in source.scorers.values() for metric in scorer.metrics
    }
    numbers = [name for name, kind in kinds.items() if kind != "label"]
    found: dict[str, Any] = {
        "revision": np.full(total, -1, dtype=np.int64),
        "failed": np.zeros(total, dtype=bool),
        "forgeable": np.zeros(total, dtype=bool),
        "tier": np.full(total, None, dtype=object),
        "values": {name: np.full(total, np.nan) for name in numbers},
    }
    if not source.scores:
        return found
    inner = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}" {_KINDS[kinds[name]]}' for name in numbers)
    columns = {**_SCORE, **({"metrics": f"STRUCT({inner})"} if numbers else {})}
    rows = _query(source.scores, columns, _scores_query(source, numbers))
    index, revision = rows["index"], rows["revision"]
    if len(index) and (index.min() < 0 or index.max() >= total):
        raise JournalCorrupt(source.folder.scores, 0, "a score is of an attempt that is not in the plan")
    np.maximum.at(found["revision"], index, revision)
    chosen = revision == found["revision"][index]
    if np.bincount(index[chosen], minlength=1).max() > 1:
        raise JournalCorrupt(source.folder.scores, 0, "an attempt has two scores of one scorer")
    where = index[chosen]
    for name in ("failed", "forgeable", "tier"):
        found[name][where] = rows[name][chosen]
    for number, name in enumerate(numbers):
        found["values"][name][where] = rows[f"v{number}"][chosen]
    return found


def _scores_query(source: _Source, numbers: Sequence[str]) -> str:
    """Scores by the scorer that counts for their cell's task."""
    ids = [source.names.get(cell.task, "") for cell in source.plan.cells]
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in ids)
    quoted = [name.replace('"', '""') for name in numbers]
    values = "".join(f', CAST(metrics."{name}" AS DOUBLE) AS v{number}' for number, name in enumerate(quoted))
    return (
        'SELECT "index", revision, error IS NOT NULL AS failed, coalesce(execution.forgeable, false) AS forgeable, '  # noqa: S608
        f"execution.tier AS tier{values} FROM {{lines}} WHERE scorer = list_extract([{listed}], cell + 1)"
    )


def _query(paths: Sequence[Path], columns: Mapping[str, str], query: str) -> dict[str, Any]:
    """The columns of a query over JSON lines. Raises EvidenceError for a line that is not of that shape."""
    import duckdb

    if not paths:
        nothing = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in columns.items())
        lines = f"(SELECT {nothing} WHERE false)"
    else:
        lines = json_lines(list(paths), dict(columns))
    try:
        connection = connect(threads=str(os.cpu_count() or 1))
        rows = connection.sql(query.format(lines=lines)).fetchnumpy()
    except duckdb.Error as error:
        raise EvidenceError(f"{paths[0].parent if paths else ''}: not what assay writes ({_first(error)})") from None
    return {name: _plain(column) for name, column in rows.items()}


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]


def _plain(column: Any) -> Any:
    """A column without its mask: what is absent is NaN for a number, None for a text. Raises ValueError for a number
    that must be there."""
    if not isinstance(column, np.ma.MaskedArray):
        return column
    if column.dtype == object:
        found = np.array(column.data, dtype=object)
        found[column.mask] = None
        return found
    if column.dtype.kind == "f":
        return column.filled(np.nan)
    if column.mask.any():
        return np.where(column.mask, np.nan, column.data.astype(np.float64))
    return column.data


def _samples(folder: RunFolder, plan: Plan, task: str) -> dict[str, Any]:
    """A task's sample ids in order, each one's cluster, and its category where the samples have one."""
    held = plan.tasks[task]
    key = (held.cluster or "").replace("'", "''").replace('"', "")
    names = [*_CATEGORIES, *([key] if key else [])]
    parts = {number: f"'$.\"{name}\"'" for number, name in enumerate(names)}
    picked = ", ".join(f"{_LABEL.format(place=place)} AS m{number}" for number, place in parts.items())
    columns = {"id": "VARCHAR", "metadata": "JSON", "fields": "JSON"}
    rows = _query([folder.sample_path(task)], columns, f"SELECT id, {picked} FROM {{lines}}")  # noqa: S608
    ids = np.array(held.samples, dtype=object)
    if len(rows["id"]) != len(ids) or (rows["id"] != ids).any():
        raise EvidenceError(f"{folder.sample_path(task)}: its samples are not the plan's")
    categories = next((rows[f"m{n}"] for n in range(len(_CATEGORIES)) if any(rows[f"m{n}"])), None)
    return {
        "ids": ids,
        "clusters": tuple(map(str, rows[f"m{len(_CATEGORIES)}"])) if key else None,
        "categories": tuple(str(name or "-") for name in categories) if categories is not None else None,
    }


def _facts(plan: Plan, scorers: Mapping[str, str], number: int, checked: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same in two cells that are compared, but for the model. `scorers`: their ids by task."""
    cell = plan.cells[number]
    task, model = plan.tasks[cell.task], plan.models[cell.model]
    boxes = checked.get(cell.task, {}).get("sandboxes", [])
    return {
        "model": {"model": model.model, "identity": dict(model.identity)},
        "task": task.task.partition(":")[0],  # a file may lie elsewhere; what is in it, the data's digest says
        "version": task.version,
        "dataset": task.dataset,
        "prompt": f"{cell.prompt} ({digest_of(dict(plan.prompts[cell.prompt]))[:12]})",
        "system": model.system,
        "demonstrations": f"{len(task.demos)} ({digest_of(list(task.demos))[:12]})" if task.demos else None,
        "mode": cell.mode,
        "sampling": asdict(cell.sampling) if cell.sampling else None,
        "seed": _seed(plan, task.seed),
        "epochs": task.epochs,
        "scorer": scorers.get(cell.task),
        "execution": task.code_exec_policy,
        "sandbox": sorted({str(box.get("tier")) for box in boxes}) or None,
        "determinism": model.capabilities.get("determinism"),
        "cluster": task.cluster,
    }


def _seed(plan: Plan, seed: int) -> int:
    given = plan.spec.get("sampling", {}).get("seed") if isinstance(plan.spec.get("sampling"), Mapping) else None
    return seed if given is None else int(given)
