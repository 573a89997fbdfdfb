"""`assay judge agreement`: how far judges agree with people, and whether one of them may decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from assay.cli.output import console, json_option, note, print_json

if TYPE_CHECKING:
    from assay.judging.ratings import Collected, Judge

T = TypeVar("T")
_RUN = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_COLOURS = {"ADMITTED": "green", "INCONCLUSIVE": "yellow"}


@click.command("agreement", short_help="How far judges agree with people; admit a model as a judge.")
@click.argument("runs", nargs=-1, metavar="[RUN...]", type=_RUN)
@click.option("-r", "--rubric", metavar="LABEL", help="Only this rubric of those that the runs carry.")
@click.option("--judge", "judge_", metavar="NAME", help="Only this judge, by name or by the beginning of its identity.")
@click.option("--policy", type=_FILE, metavar="FILE", help="Thresholds: decide whether the judge is admitted.")
@click.option("--out", type=_RUN, metavar="DIR", help="With --policy: seal the decision in this new folder.")
@click.option("--ratings", type=_FILE, metavar="FILE", help="Instead of runs: recorded ratings, .csv or .jsonl.")
@json_option
def agreement(
    runs: tuple[Path, ...],
    rubric: str | None,
    judge_: str | None,
    policy: Path | None,
    out: Path | None,
    ratings: Path | None,
    as_json: bool,
) -> int:
    """Show how far every judge of RUN agrees with its people: kappa, alpha, exact agreement and bias, with intervals.

    With --policy one model is decided on: ends with 0 where it is admitted, 1 where it is not, 3 where more answers
    would have to be judged by people to tell. Gates refuse scores of a model without an admission.
    """
    _check_options(runs, rubric, policy, out, ratings)
    if ratings is not None:
        return _recorded(ratings, judge_, as_json=as_json)
    if policy is None:
        return _measured(runs, rubric, judge_, as_json=as_json)
    return _decided(runs, rubric, judge_, policy, out, as_json=as_json)


def _check_options(
    runs: Sequence[Path], rubric: str | None, policy: Path | None, out: Path | None, ratings: Path | None
) -> None:
    from assay.errors import ConfigError, Problem

    if ratings is not None and (policy or out):
        message = "numbers that somebody recorded admit no judge"
        raise ConfigError(Problem(message, "--ratings", allowed="sealed runs, with --policy and --out"))
    if ratings is not None and (runs or rubric):
        raise ConfigError(Problem("a file of ratings stands in the place of runs", "--ratings", allowed="one or other"))
    if ratings is None and not runs:
        raise ConfigError(Problem("no run is named", "RUN", allowed="runs that were judged, or --ratings FILE"))
    if out is not None and policy is None:
        raise ConfigError(Problem("there is no decision to seal", "--out", allowed="--policy FILE with it"))
    if out is not None and out.exists():
        raise ConfigError(Problem("is there already, and what is sealed is never rewritten", str(out)))


def _measured(runs: Sequence[Path], label: str | None, name: str | None, *, as_json: bool) -> int:
    from assay.evidence.admission import collected
    from assay.judging.agreement import REFERENCE, Content, Settings
    from assay.judging.agreement import agreement as measure

    found, settings = collected(runs, label), Settings()
    content = Content.read(found.rubric.content)
    rows = _each(_shown(found, name), lambda one: measure(found.of(one), content, settings))
    head = {"schema": "assay.agreement.v1", "rubric": {"label": found.rubric.label, **found.rubric.named}}
    source = {"runs": [str(run) for run in runs], "ratings": None}
    document = {**head, "source": source, "reference": REFERENCE, "settings": settings.to_json(), "judges": rows}
    if as_json:
        print_json(document)
        return 0
    click.echo(f"{found.rubric.label} ({found.rubric.digest[:16]}); the people's word: {REFERENCE}")
    for row in rows:
        _show(row)
    return 0


def _each(judges: Sequence[T], measure: Callable[[T], dict[str, Any]]) -> list[dict[str, Any]]:
    """What is measured of each judge, with a line on how far it is where that takes long."""
    from assay.cli.progress import Steps

    rows = []
    with Steps("judges measured") as step:
        for number, one in enumerate(judges):
            step(number, len(judges))
            rows.append(measure(one))
    return rows


def _shown(found: Collected, name: str | None) -> list[Judge]:
    """Every model and, where there are several, every person; or the one of that name."""
    from assay.errors import ConfigError

    if name is not None:
        return [_one(found.judges(), name)]
    judges = found.judges()
    people = [one for one in judges if one.kind == "person"]
    shown = [one for one in judges if one.kind == "model" or len(people) > 1]
    if not shown:
        raise ConfigError("there is nobody to hold against people: no model judged, and not two people did")
    return shown


def _one(judges: Sequence[Judge], name: str) -> Judge:
    from assay.errors import ConfigError, Problem

    found = [one for one in judges if one.name == name or ((one.identity or "").startswith(name) and len(name) >= 8)]
    if len(found) == 1:
        return found[0]
    allowed = ", ".join(f"{one.name} ({(one.identity or 'a person')[:16]})" for one in judges) or "nobody judged"
    said = f"{len(found)} judges are called {name!r}: give the beginning of an identity" if found else None
    raise ConfigError(Problem(said or f"nobody called {name!r} judged", "--judge", allowed=allowed))


def _decided(
    runs: Sequence[Path], label: str | None, name: str | None, policy: Path, out: Path | None, *, as_json: bool
) -> int:
    from assay.errors import ConfigError, Problem
    from assay.evidence.admission import collected, decide, keep
    from assay.gates.judges import load

    held = load(policy)
    found = collected(runs, label)
    models = [one for one in found.judges() if one.kind == "model"]
    if name is None and len(models) != 1:
        allowed = ", ".join(one.label for one in models) or "no model judged these runs"
        raise ConfigError(Problem("which judge is decided on?", "--judge", allowed=allowed))
    ratings = found.of(_one(found.judges(), name) if name else models[0])
    if ratings.judge.kind == "person":
        raise ConfigError(Problem("a person needs no admission", "--judge", allowed="a model"))
    document = decide(runs, ratings, found.rubric, held)
    manifest = keep(document, ratings, out) if out is not None else None
    if as_json:
        print_json({**document, "kept": str(out) if out else None, "manifest": manifest["id"] if manifest else None})
    else:
        _show(document["agreement"])
        click.secho(document["verdict"], fg=_COLOURS.get(document["verdict"], "red"), bold=True)
        for reason in document["reasons"]:
            click.echo(f"  {reason}")
    note(f"admission: {out} ({manifest['id']})" if manifest else "not kept: --out DIR seals it, and gates ask for that")
    return int(document["exit_code"])


def _recorded(path: Path, name: str | None, *, as_json: bool) -> int:
    from assay.errors import ConfigError, Problem
    from assay.judging import recorded
    from assay.judging.agreement import REFERENCE, Settings
    from assay.judging.recorded_agreement import NEVER
    from assay.judging.recorded_agreement import REFERENCE as VERDICTS
    from assay.judging.recorded_agreement import agreement as measure

    found, settings = recorded.read(path), Settings()
    if name is not None and name not in found.raters:
        raise ConfigError(Problem(f"nobody called {name!r} rated", "--judge", allowed=", ".join(found.raters)))
    rows = _each([one for one in found.raters if name in (None, one)], lambda one: measure(found, one, settings))
    source = {"runs": [], "ratings": str(path), "sha256": found.sha256}
    head = {"schema": "assay.agreement.v1", "rubric": None, "source": source, "note": NEVER}
    document = {**head, "reference": f"{REFERENCE}; {VERDICTS}", "settings": settings.to_json(), "judges": rows}
    if as_json:
        print_json(document)
    else:
        for row in rows:
            _show(row)
    note(f"note: {NEVER}")
    return 0


def _show(row: Mapping[str, Any]) -> None:
    """One judge for people: a table, the ceiling, and what was left out."""
    from rich.table import Table

    judge = row["judge"]
    click.secho(f"\n{judge['name']} ({judge['kind']}{_identity(judge)})", bold=True)
    table = Table(box=None, pad_edge=False)
    for column in ("dimension", "units", "kappa", "alpha", "exact", "bias"):
        table.add_column(column, justify="left" if column == "dimension" else "right", no_wrap=True)
    for name, found in row["dimensions"].items():
        exact = found.get("exact") or found["accuracy"]
        table.add_row(
            name, f"{found['units']:,}", *map(_told, (found["kappa"], found["alpha"], exact, found.get("bias")))
        )
    for name, found in row["ceiling"]["dimensions"].items():
        if "alpha" in found:
            table.add_row(
                f"people: {name}", f"{found['alpha']['n']:,}", "", _told(found["alpha"]), _told(found["exact"]), ""
            )
    console().print(table, soft_wrap=True)
    for text in _remarks(row):
        click.echo(f"  {text}")


def _identity(judge: Mapping[str, Any]) -> str:
    return f", {judge['identity'][:16]}" if judge["identity"] else ""


def _told(found: Mapping[str, Any] | None, between: str = "\n") -> str:
    if found is None or found["value"] is None:
        return "–"
    ends = ["open" if found[end] is None else f"{found[end]:.2f}" for end in ("low", "high")]
    return f"{found['value']:.3f}{between}{ends[0]} to {ends[1]}"


def _remarks(row: Mapping[str, Any]) -> Iterator[str]:
    """What the table does not show."""
    for name, count in row.get("excluded", {}).items():
        yield f"left out, {name.replace('_', ' ')}: {count:,}"
    if reason := row["ceiling"].get("reason"):
        yield reason
    for batch in row.get("marked", ()):
        yield f"marked: {batch['batch']} by {batch['judge']}: {'; '.join(batch['why'])}"
    for name, found in row["dimensions"].items():
        yield from _of_dimension(name, found)
    votes = (row.get("votes") or {}).get("dimensions", {})
    for name, found in votes.items():
        yield f"votes, {name}: {found['mean_spread']:.2f} apart on average, unanimous on {found['unanimous']:.0%}"
    if own := row.get("self_preference"):
        yield f"flagged for self-preference: {own['flagged']:,}; against people, {own['own']:,} of its family"
        for name, found in own["dimensions"].items():
            yield f"  {name}: {_told(found['difference'], ', ')} above what it gives others, relative to people"


def _of_dimension(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    for why, count in found.get("excluded", {}).items():
        yield f"{name}: left out, {why.replace('_', ' ')}: {count:,}"
    if macro := found.get("macro"):
        yield f"{name}: precision {macro['precision']:.4f}, recall {macro['recall']:.4f}, F1 {macro['f1']:.4f} (macro)"
    if (order := found.get("order")) and order["inconsistent"]["n"]:
        apart = order["inconsistent"]
        yield (
            f"{name}: with the order swapped {apart['count']:,} of {apart['n']:,} verdicts contradict themselves "
            f"(ties here); mean accuracy of the orders {order['mean_accuracy']:.4f}"
        )
