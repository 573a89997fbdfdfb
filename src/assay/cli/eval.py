"""`assay eval`: plan, run, score, seal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.output import console, json_option, note, print_json
from assay.cli.seal import compact_option
from assay.tracking.target import GRANULARITIES, Granularity, Target, experiment_of

if TYPE_CHECKING:
    from assay.run.compact import Mode


@click.command("eval", short_help="Plan, run, score and seal an evaluation.")
@click.argument("spec", required=False, type=click.Path(path_type=Path))
@click.option("-m", "--model", "models", multiple=True, metavar="MODEL", help="A model; may be repeated.")
@click.option("-t", "--task", "tasks", multiple=True, metavar="TASK", help="A task; may be repeated.")
@click.option("-p", "--prompt", "prompts", multiple=True, metavar="PROMPT", help="A prompt; may be repeated.")
@click.option("--limit", "--n-scenarios", "limit", type=int, help="At most this many samples a task.")
@click.option("--few-shot", type=int, help="Demonstrations before each question.")
@click.option("--seed", type=int, help="Root seed; 0 keeps the order of the files.")
@click.option("--epochs", type=int, help="Attempts a sample.")
@click.option("--temperature", type=float, help="Sampling temperature; 0 is greedy.")
@click.option("--top-p", type=float, help="Nucleus sampling.")
@click.option("--max-tokens", type=int, help="Tokens generated at most.")
@click.option("--stop", multiple=True, help="Stop at this text; may be repeated.")
@click.option("--scoring-mode", metavar="SCORER", help="How every task is scored.")
@click.option("--code-exec-policy", type=click.Choice(["disabled", "sandboxed"]), help="May generated code run?")
@click.option("--n-tips", type=int, help="Of scenarios: how many tips are asked for.")
@click.option("--diversity/--no-diversity", default=None, help="Of scenarios: ask for tips about different things.")
@click.option("--option", multiple=True, metavar="KEY=VALUE", help="A parameter of every task; may be repeated.")
@click.option("--name", help="The run's name.")
@click.option("--concurrency", type=int, help="Requests in flight at most.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit of one request.")
@click.option("--tries", type=int, help="Tries of one attempt at most.")
@click.option("--budget-tokens", type=int, help="Stop after this many tokens.")
@click.option("--budget-requests", type=int, help="Stop after this many requests.")
@click.option("--budget-seconds", type=float, help="Stop after this many seconds.")
@click.option("--budget-money", type=float, help="Stop after spending this much.")
@click.option("--cache", type=click.Choice(["auto", "on", "off"]), help="Reuse stored responses.")
@click.option("--max-model-b", type=float, help="Refuse models of more billion parameters.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The run directory.")
@click.option("--fresh", is_flag=True, help="Start over; the old run is kept beside it.")
@click.option("--retry-errors", is_flag=True, help="Ask again what a sealed run recorded as errors.")
@click.option("--allow-secret", "allow", multiple=True, metavar="DIGEST", help="Seal in spite of this finding.")
@compact_option
@click.option(
    "--until-decided",
    "policy",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="POLICY",
    help="Stop as soon as this policy decides against --baseline.",
)
@click.option("--baseline", type=click.Path(path_type=Path, file_okay=False), help="The sealed run to decide against.")
@click.option("--baseline-model", metavar="NAME", help="Of the baseline, only this model's cells.")
@click.option("--baseline-prompt", metavar="NAME", help="Of the baseline, only this prompt's cells.")
@click.option(
    "--track",
    "uri",
    is_flag=False,
    flag_value="",
    metavar="[URI]",
    help="Log the finished run to this MLflow server; without URI to MLFLOW_TRACKING_URI or that of 'assay up'.",
)
@click.option(
    "--experiment", metavar="NAME", help="With --track: by default MLFLOW_EXPERIMENT_NAME, or the run's name."
)
@click.option(
    "--granularity", type=click.Choice(GRANULARITIES), help="With --track: one MLflow run a cell or scenario."
)
@click.option("--plan-only", is_flag=True, help="Print the plan and stop.")
@json_option
def eval_(
    spec: Path | None,
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    prompts: tuple[str, ...],
    out: Path | None,
    fresh: bool,
    retry_errors: bool,
    allow: tuple[str, ...],
    compact: Mode,
    policy: Path | None,
    baseline: Path | None,
    baseline_model: str | None,
    baseline_prompt: str | None,
    uri: str | None,
    experiment: str | None,
    granularity: Granularity | None,
    plan_only: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Plan, run, score and seal an evaluation.

    SPEC is a YAML file; options go before what it says, and are enough without it:

    \b
        assay eval examples/quickstart.yaml
        assay eval -m smollm2-135m -t arc_easy -t gsm8k --limit 50 --few-shot 3 --seed 42

    Asking again for the same plan resumes it.

    
        assay eval candidate.yaml --until-decided policy.yaml --baseline runs/baseline

    asks in blocks and stops as soon as the candidate is decided to be no worse, or worse; the verdict is the exit code.
    With --track the finished run is logged to MLflow: after it, for a minute at most, and without a word in its exit
    code; `assay track` finishes what a server did not take.
    """
    from assay.cli.progress import Download, watch
    from assay.evidence.deciding import given as held_against
    from assay.plan.build import build
    from assay.session import Options, carry_out

    until = held_against(policy, baseline, baseline_model, baseline_prompt)

    given = {key: value for key, value in options.items() if value is not None and value != ()}
    asked, where = _read(spec, models, tasks, prompts, given)
    server = _server(uri, experiment, granularity)
    download = Download()
    draft = build(asked, where, download)
    for text in draft.notes:
        note(f"note: {text}")
    if until:
        until.refuse(draft.plan)
    target = Target(server, experiment_of(experiment, draft.plan.name), granularity or "cell") if server else None
    if plan_only:
        return _print_plan(draft, as_json=as_json)
    place = spec.absolute().parent if spec else None
    settings = Options(
        out, fresh, retry_errors, shown_command(), allow_secrets=allow, place=place, compact=compact, until=until
    )
    run = carry_out(draft, asked, settings, watch(), download)
    if target is None:
        return print_run(run, as_json=as_json)
    if as_json:
        return print_run(run, as_json=True, tracked=_track(run.path, target))
    code = print_run(run, as_json=False)
    _track(run.path, target)
    return code


def _server(uri: str | None, *others: str | None) -> str | None:
    """The server to log to, None for none: wrong input and a missing package are told before anything runs."""
    from assay.tracking.beside import check_installed
    from assay.tracking.target import uri_of

    if uri is None:
        if any(others):
            raise click.UsageError("--experiment and --granularity go with --track")
        return None
    if uri and "://" not in uri:
        raise click.BadParameter(f"{uri!r} is not a URI; SPEC goes before --track, which may be followed by one")
    found = uri_of(uri or None, "--track")
    check_installed()
    return found


def _track(path: Path, target: Target) -> dict[str, Any]:
    """Log the finished run, for a minute at most; what is not logged is told, and changes nothing else."""
    from assay.cli.progress import Steps
    from assay.cli.track import told
    from assay.tracking.beside import logged

    with Steps(f"logging to {target.uri}") as steps:
        found = logged(path, target, steps)
    if isinstance(found, str):
        finish = told(path)
        note(f"note: the run is finished, but not logged: {found}\n  to log it: {finish}")
        return {"logged": False, "uri": target.uri, "experiment": target.experiment, "why": found, "finish": finish}
    for text in found.notes:
        note(f"note: {text}")
    note(f"mlflow: {found.url}")
    return {"logged": True, **found.to_json()}


def shown_command() -> tuple[str, ...]:
    """The command line as the evidence keeps it: secrets masked."""
    from assay.spec.secrets import mask

    return ("assay", *(mask(argument) for argument in sys.argv[1:]))


def _read(
    spec: Path | None,
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    prompts: tuple[str, ...],
    options: dict[str, Any],
) -> tuple[Any, Any]:
    from assay.spec import flags
    from assay.spec.load import load_located

    if spec is None:
        return flags.from_flags_located(models, tasks, prompts, **options)
    loaded, where = load_located(spec)
    return flags.override_located(loaded, where, models, tasks, prompts, **options)


def _print_plan(draft: Any, *, as_json: bool) -> int:
    from assay.cli.plan import plan_table
    from assay.plan.forecast import forecast

    document = forecast(draft)
    if as_json:
        print_json({**document, "plan": draft.plan.to_json()})
    else:
        console().print(plan_table(document))
    return 0


def print_run(run: Any, *, as_json: bool, tracked: dict[str, Any] | None = None) -> int:
    """Show a run's results and where they are, and where it is logged; returns the exit code."""
    from assay.report.table import table

    results, decision = run.results, run.decision
    console(err=as_json).print(table(results))
    document = {
        "schema": "assay.eval.v1",
        "run": str(run.path),
        "report": str(run.report),
        "sealed": run.sealed,
        "results": results,
    }
    if as_json:
        more = {key: value for key, value in (("decision", decision), ("tracked", tracked)) if value}
        print_json({**document, **more})
    else:
        click.echo(f"\nrun:    {run.path} ({'sealed' if run.sealed else 'not sealed'})\nreport: {run.report}")
    return exit_code(results) if decision is None else _decided(decision, as_json=as_json)


def _decided(decision: dict[str, Any], *, as_json: bool) -> int:
    """Show the verdict that a run was evaluated until; returns its exit code."""
    from assay.cli.gate import say, summarise

    summarise(decision)
    if not as_json:
        click.echo()
        say(decision)
    return int(decision["exit_code"])


def exit_code(results: dict[str, Any]) -> int:
    """0 where every cell has answers; 6 where some cell got none, which no table should hide; 4 where the harness
    itself failed its control, so that the numbers are anomalous.
    """
    silent = [cell for cell in results["cells"] if cell["planned"] and not _answered(cell)]
    for cell in silent:
        note(f"error: {cell['model']} · {cell['task']} · {cell['prompt']}: no attempt got an answer")
    return 6 if silent else 4 if results["anomalies"] else 0


def _answered(cell: dict[str, Any]) -> int:
    return sum(cell["outcomes"].get(name, 0) for name in ("ok", "empty", "truncated", "refused", "scorer_error"))
