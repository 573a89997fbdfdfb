"""`assay gate`: one gate on sealed runs; the verdict is the exit code, the result a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.gate_ptq import ptq
from assay.cli.output import json_option, note, print_json

if TYPE_CHECKING:
    from assay.gates.evidence import Evidence
    from assay.gates.judges import Admission
    from assay.gates.policy import Policy
    from assay.gates.result import GateResult

_COLOURS = {"PASS": "green", "ACCEPT": "green", "INCONCLUSIVE": "yellow"}
_RUN = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_policy = click.option("--policy", "policy", required=True, type=_FILE, help="The policy's YAML file.")
_admission = click.option(
    "--admission",
    "admissions",
    multiple=True,
    type=_RUN,
    metavar="DIR",
    help="Of a model that judged; repeatable.",
)
_junit = click.option("--junit", type=_FILE, metavar="FILE", help="Also write the checks as JUnit XML.")


@click.group("gate", short_help="Decide on sealed runs by a policy: fit, no worse, no false alarm.")
def gate() -> None:
    """Decide on sealed runs by a policy; the verdict is the exit code.

    \b
        assay gate policy init policy.yaml
        assay gate run runs/candidate --policy policy.yaml
        assay gate compare runs/baseline runs/candidate --policy policy.yaml

    Each result is written to the `verdicts/` of the last run named, with the digests of all that was read.
    """


gate.add_command(ptq)


@gate.command("run", short_help="Is this run fit to be compared?")
@click.argument("run", type=_RUN)
@_policy
@_admission
@_junit
@json_option
def run_(run: Path, policy: Path, admissions: tuple[Path, ...], junit: Path | None, as_json: bool) -> int:
    """Is RUN fit to be compared? Ends with 0 for PASS, 1 for FAIL, 3 for a run that has not ended."""
    from assay.evidence.read import read
    from assay.gates.policy import load
    from assay.gates.run import gate as decide

    held = load(policy)
    evidence = read(run)
    return _told(decide(evidence, held, _admitted(admissions)), [(run, evidence)], junit, as_json=as_json)


@gate.command("compare", short_help="Is CANDIDATE no worse than BASELINE?")
@click.argument("baseline", type=_RUN)
@click.argument("candidate", type=_RUN)
@_policy
@click.option("--baseline-model", metavar="NAME", help="Of BASELINE, only this model's cells.")
@click.option("--baseline-prompt", metavar="NAME", help="Of BASELINE, only this prompt's cells.")
@click.option("--candidate-model", metavar="NAME", help="Of CANDIDATE, only this model's cells.")
@click.option("--candidate-prompt", metavar="NAME", help="Of CANDIDATE, only this prompt's cells.")
@_admission
@_junit
@json_option
def compare(
    baseline: Path,
    candidate: Path,
    policy: Path,
    admissions: tuple[Path, ...],
    junit: Path | None,
    as_json: bool,
    **chosen: str | None,
) -> int:
    """Is CANDIDATE no worse than BASELINE by more than the policy allows?

    Samples are paired by their ids. Ends with 0 for ACCEPT, 1 for REGRESSION, 3 for INCONCLUSIVE, 4 for ANOMALOUS
    and 5 for INFEASIBLE. Two models, or two prompts, of one run are compared by naming the run twice and choosing.
    """
    from assay.gates.policy import load

    result, read_ = compared(baseline, candidate, load(policy), chosen, _admitted(admissions))
    return _told(result, list(zip((baseline, candidate), read_, strict=True)), junit, as_json=as_json)


def _admitted(paths: Sequence[Path]) -> list[Admission]:
    """The admissions at these places."""
    if not paths:
        return []
    from assay.evidence.admission import all_of

    return all_of(paths)


def compared(
    baseline: Path,
    candidate: Path,
    policy: Policy,
    chosen: dict[str, str | None],
    admissions: Sequence[Admission] = (),
) -> tuple[GateResult, list[Evidence]]:
    """What the gate says of two runs, of each the cells that the options `chosen` name; and the evidence read."""
    from assay.evidence.read import read
    from assay.gates.compare import gate as decide

    whole = read(baseline)
    sides = (("baseline", whole), ("candidate", whole if candidate == baseline else read(candidate)))
    read_ = [_only(role, evidence, chosen) for role, evidence in sides]
    return decide(read_[0], read_[1], policy, admissions), read_


def _only(role: str, evidence: Evidence, chosen: dict[str, str | None]) -> Evidence:
    """The cells that the options ask for. Raises ConfigError where there are none of that name."""
    from assay.errors import ConfigError, Problem

    model, prompt = chosen[f"{role}_model"], chosen[f"{role}_prompt"]
    found = evidence.only(model, prompt)
    for name, part in (("model", model), ("prompt", prompt)):
        there = sorted({str(getattr(cell, name)) for cell in evidence.cells})
        if part is not None and evidence.cells and part not in there:
            raise ConfigError(Problem(f"the run has no {name} {part!r}", f"--{role}-{name}", allowed=", ".join(there)))
    return found


@gate.command("aa", short_help="Does the policy alarm where nothing changed?")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=_RUN)
@_policy
@click.option("--resamples", type=click.IntRange(100, 100_000), default=500, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling.")
@_junit
@json_option
def aa(runs: tuple[Path, ...], policy: Path, resamples: int, seed: int, junit: Path | None, as_json: bool) -> int:
    """How often would the policy alarm if nothing had changed?

    Takes one run with two epochs or more, or two runs of one model. Ends with 0 where false alarms are no more frequent
    than the policy's alpha, with 1 where they are, with 5 where it cannot be told.
    """
    from assay.evidence.read import read
    from assay.gates.aa import gate as decide
    from assay.gates.policy import load

    held = load(policy)
    read_ = [read(run) for run in runs]
    return _told(decide(read_, held, resamples, seed), list(zip(runs, read_, strict=True)), junit, as_json=as_json)


@gate.group("policy", short_help="Write a policy, or check one.")
def policy_() -> None:
    """Write a policy to begin with, or check one."""


@policy_.command("init", short_help="Write a policy to begin with.")
@click.argument("file", type=_FILE, default="policy.yaml")
@json_option
def init(file: Path, as_json: bool) -> int:
    """Write a policy with every default spelled out to FILE, which must not exist."""
    from assay.errors import ConfigError, MachineError, Problem
    from assay.files import write_atomic
    from assay.gates.policy import load
    from assay.gates.template import TEMPLATE

    if file.exists():
        raise ConfigError(Problem("there is a file already", str(file), allowed="a name that is free"))
    try:
        write_atomic(file, TEMPLATE.encode())
    except OSError as error:
        raise MachineError(f"cannot write {file}", layer="policy", errno=error.errno) from error
    return _shown(file, load(file), as_json=as_json)


@policy_.command("check", short_help="Check a policy.")
@click.argument("file", type=_FILE)
@json_option
def check(file: Path, as_json: bool) -> int:
    """Check FILE; ends with 2 and every problem by its line where there are any."""
    from assay.gates.policy import load

    return _shown(file, load(file), as_json=as_json)


def _shown(file: Path, policy: Any, *, as_json: bool) -> int:
    if as_json:
        print_json({"schema": "assay.policy_check.v1", "file": str(file), **policy.to_json()})
    else:
        click.echo(f"{file}: {policy.name} (digest {policy.digest[:16]})")
    return 0


def _told(result: GateResult, runs: list[tuple[Path, Evidence]], junit: Path | None, *, as_json: bool) -> int:
    """Keep the result, show it, and end with its exit code."""
    from assay.evidence.verdict_files import keep
    from assay.report.verdict import junit_xml

    document = result.to_json()
    kept = keep(document, *runs[-1])
    if junit is not None:
        _write(junit, junit_xml(document))
    summarise(document)
    if as_json:
        print_json(document)
    else:
        say(document)
    note(f"verdict: {kept}" if kept else "not kept: only a sealed run has a place for verdicts")
    return result.exit_code


def say(document: Mapping[str, Any]) -> None:
    """Show a verdict and its reasons to a person."""
    click.secho(document["verdict"], fg=_COLOURS.get(document["verdict"], "red"), bold=True)
    for reason in document["reasons"]:
        click.echo(f"  {reason}")


def summarise(document: Mapping[str, Any]) -> None:
    """Add a verdict to the summary of the CI job, where there is one."""
    from assay.report.verdict import markdown

    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(Path(summary), markdown(document))


def _write(path: Path, text: str) -> None:
    from assay.errors import MachineError
    from assay.files import write_atomic

    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="verdict", errno=error.errno) from error


def _append(path: Path, text: str) -> None:
    """Add to the summary of a CI job; a job whose summary cannot be written has its verdict all the same."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        note(f"cannot write the summary {path}: {error.strerror}")
