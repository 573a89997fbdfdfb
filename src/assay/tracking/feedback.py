"""Traces and feedback: one trace a candidate, and what judges said of it as MLflow shows it.

A trace's id follows from the run, the attempt and its revision, so that logging it again is the same trace. MLflow does
not take an assessment twice under one id; each carries the id of its judgement, by which it is known again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from assay.errors import MachineError
from assay.judging.judgements import Line, Standing
from assay.judging.library import carried
from assay.report.entry import Entry, outcome_of
from assay.run.folder import RunFolder
from assay.run.state import State
from assay.session import Run
from assay.tracking import layout
from assay.tracking.client import Client, Seen, translated

MOST_TRACES = 2_000
JUDGEMENT = "assay.judgement"
_PREVIEW = 10_000


def trace_id(root: str, index: int, attempt: str, revision: int) -> str:
    """The id of a candidate's trace: of the same form as MLflow's own."""
    return f"tr-{hashlib.sha256(f'{root}|{index}|{attempt}|{revision}'.encode()).hexdigest()[:32]}"


def push(
    client: Client, experiment: str, run: Run, root: str, children: Mapping[str, Seen], notes: list[str]
) -> tuple[int, int]:
    """Log a trace for each candidate that has none, and every judgement that its trace does not carry yet.

    Returns how many of both were logged. `children`: the MLflow runs by the key of their cell, for the traces to belong
    to. Beyond 2,000 candidates the rest is left out, which `notes` says; so it does where the server has no traces.
    """
    known = _known(client, experiment, run)
    spoken = list(_standing(run))
    traces = feedback = count = 0
    for entry in run:
        if not entry.attempt.get("completion") or "choices" in entry.attempt["completion"]:
            continue
        count += 1
        if count > MOST_TRACES:
            notes.append(f"only the first {MOST_TRACES} candidates have traces")
            break
        name = trace_id(root, *(entry.attempt[name] for name in ("index", "attempt", "revision")))
        try:
            if name not in known:
                _trace(client, experiment, run, entry, name, children)
                traces += 1
            feedback += _feedback(client, name, known.get(name, {}), spoken, entry.attempt["index"])
        except MachineError as error:
            notes.append(f"traces and feedback are not complete: {error.message}")
            break
    return traces, feedback


def _known(client: Client, experiment: str, run: Run) -> dict[str, dict[str, str]]:
    """The traces of a run that are there: of each, its valid assessments' ids by judgement and dimension."""
    found: dict[str, dict[str, str]] = {}
    token = None
    while True:
        with translated(client.uri):
            page, token = client.store.search_traces(
                locations=[experiment],
                filter_string=f"tag.`{layout.PLAN}` = '{run.plan.digest}'",
                max_results=500,
                page_token=token,
            )
        for info in page:
            found[str(info.trace_id)] = {
                f"{one.name}\0{one.source.source_id}\0{(one.metadata or {}).get(JUDGEMENT)}": str(one.assessment_id)
                for one in info.assessments
                if one.valid is not False
            }
        if not token or len(found) > 2 * MOST_TRACES:
            return found


def _standing(run: Run) -> Iterator[tuple[str, Standing]]:
    """What stands, by each rubric that the run carries, with the rubric's label."""
    folder = RunFolder(run.path)
    state = State.read(folder, run.plan)
    for rubric in carried(folder):
        yield rubric.label, Standing.read(folder, run.plan, state, rubric)


def _trace(
    client: Client, experiment: str, run: Run, entry: Entry, name: str, children: Mapping[str, Seen]
) -> None:  # fmt: skip
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    record = entry.attempt
    cell = run.plan.cells[record["cell"]]
    took = int(1000 * (record.get("latency_s") or 0))
    names = {"plan": run.plan.digest, "cell": cell.id, "attempt": record["attempt"], "sample": record["sample"]}
    key = layout.cell_key(run.plan, record["cell"])
    of = children.get(key) or children.get(f"{key}/{run.plan.locate(record['index'])[1]}")
    about = {"assay.model": cell.model, "assay.prompt": cell.prompt, "assay.task": cell.task}
    info = TraceInfo(
        trace_id=name,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=int(1000 * (record.get("finished") or time.time())) - took,
        execution_duration=took,
        state=TraceState.OK if outcome_of(entry) == "ok" else TraceState.ERROR,
        request_preview=str(run.request(entry)["input"])[:_PREVIEW],
        response_preview=str(record["completion"].get("text") or "")[:_PREVIEW],
        trace_metadata={"mlflow.sourceRun": of.id} if of else {},
        tags={
            **{f"assay.{key}": layout.tag(value) for key, value in names.items()},
            **{key: layout.tag(value) for key, value in about.items()},
            "mlflow.traceName": layout.tag(layout.cell_name(cell)),
        },
    )
    with translated(client.uri):
        client.store.start_trace(info)


def _feedback(
    client: Client, name: str, known: Mapping[str, str], spoken: list[tuple[str, Standing]], index: int
) -> int:
    """Log what judges said of one candidate and is not there; what a correction replaces is marked as replaced."""
    count = 0
    for label, standing in spoken:
        for judge, line in standing.by_attempt.get(index, {}).items():
            for dimension, value in line.record["scores"].items():
                full = f"{label}.{dimension}"
                if f"{full}\0{judge}\0{line.record['id']}" in known:
                    continue
                before = next((id for key, id in known.items() if key.startswith(f"{full}\0{judge}\0")), None)
                _assess(client, name, full, value, line, before)
                count += 1
    return count


def _assess(client: Client, trace: str, name: str, value: float, line: Line, overrides: str | None) -> None:
    from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback

    judge: Any = line.header["judge"]
    kind = AssessmentSourceType.HUMAN if judge["kind"] == "person" else AssessmentSourceType.LLM_JUDGE
    text = line.record.get("rationale") or line.record.get("comment") or None
    given = Feedback(
        name=name,
        value=value,
        source=AssessmentSource(source_type=kind, source_id=str(judge["name"])),
        rationale=str(text)[:_PREVIEW] if text else None,
        metadata={JUDGEMENT: str(line.record["id"]), "assay.rubric": str(line.record["rubric"])},
        trace_id=trace,
        overrides=overrides,
    )
    with translated(client.uri):
        client.store.create_assessment(given)
