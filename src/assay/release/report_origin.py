"""Where a release's numbers come from: digests, environments, tracking, time, and how to check and repeat them."""

from __future__ import annotations

from collections.abc import Iterator

from assay.release import wording
from assay.release.contents import Contents, Document
from assay.release.folder import BASELINE
from assay.release.report_parts import code, facts, folded, note, table
from assay.release.stages.base import Record
from assay.report.markup import Child, Markup, join, tag
from assay.report.numbers import MISSING, duration
from assay.report.rows import drawing, plot, row
from assay.report.scale import linear

EXTRACT = (
    "python -c \"import json; print(json.dumps(json.load(open('release.json'))['spec']))\" > spec.yaml\n"
    "assay release run spec.yaml"
)
"""What repeats a release: its spec is in it in full, the policy included."""


def digests(contents: Contents) -> Markup:
    """Everything by SHA-256, the whole first and then each point."""
    asked, policy = contents.asked, contents.gates.get("prepare")
    whole = [
        ("spec", code(asked["digest"])),
        ("policy", code((policy.document["policy"] if policy else {}).get("digest") or MISSING)),
        ("source", code(contents.decision["source"].get("digest") or MISSING)),
    ]
    rows = [_point(contents, name) for name in contents.points]
    columns = ("point", "recipe", "checkpoint", "plan", "run", "evidence")
    title = "Each point: SHA-256 of its recipe, checkpoint and plan, the seal of its run, and its gates' files."
    return join(facts(whole), table(title, columns, rows))


def _point(contents: Contents, name: str) -> list[Child]:
    recipe = next((point["recipe"]["digest"] for point in contents.candidates if point["candidate"] == name), None)
    manifest = contents.manifest(name) or {}
    found = (recipe, checkpoint(contents, name), manifest.get("plan"), manifest.get("id"))
    files = [gate for key, gate in contents.gates.items() if _is_of(contents, key, name)]
    evidence = [tag("div", code(gate.file), tag("small", gate.sha256)) for gate in files]
    return [name, *(code(value or MISSING) for value in found), join(evidence) if evidence else MISSING]


def _is_of(contents: Contents, key: str, name: str) -> bool:
    record = contents.records.get(key)
    return record.point == name if record else key == f"decide-{name}"


def checkpoint(contents: Contents, name: str) -> str | None:
    """The SHA-256 of a point's weights."""
    if name == BASELINE:
        found = contents.decision["source"].get("digest")
        return str(found) if found else None
    record = contents.records.get(f"ptq-{name}") or contents.records.get(f"deploy-{name}")
    return record.inputs.get("checkpoint") if record else None


def environments(contents: Contents) -> Markup:
    """What each quantizer ran in, package by package, and what each checkpoint was served by."""
    served = [[name, *_served(contents, name)] for name in contents.points]
    title = "What each point was served by."
    made = [_made(contents, name) for name in contents.points[1:]]
    return join(made, table(title, ("point", "deployer", "runtime", "settings"), served))


def _made(contents: Contents, name: str) -> Markup:
    lock = contents.optional("candidates", name, "environment.json")
    if lock is None:
        return note(f"{name}: no environment is kept: no quantizer finished.")
    known = {key: value for key, value in lock.items() if key not in ("schema", "packages", "digest")}
    packages = lock.get("packages") or []
    title = f"{name}: {wording.plain(known)}, {len(packages)} packages"
    return folded(title, note("lock: ", code(lock.get("digest") or MISSING)), tag("pre", "\n".join(map(str, packages))))


def _served(contents: Contents, name: str) -> list[str]:
    gate = contents.gated("deploy", name)
    seen = (gate.document["numbers"].get("observation") if gate else None) or {}
    known = dict(seen.get("facts") or {})
    if not known:
        return ["not served" if gate is None else "not known", MISSING, MISSING]
    named = [str(known.pop(key, MISSING)) for key in ("deployer", "runtime")]
    return [*named, wording.plain(known)]


def tracking(contents: Contents) -> Markup:
    """Where the runs of the release were logged, by MLflow run id, and why one was not."""
    asked, found = contents.asked["spec"].get("tracking"), contents.optional("tracking.json")
    if found is None:
        why = "the spec asks for it, and nothing is known of it" if asked else "the spec names no server"
        return note(f"Not tracked: {why}.")
    server = note(f"Server {found['uri']}, experiment {found['experiment']}.")
    runs = [[str(run["run"]), *_logged(run)] for run in found["runs"]]
    if not runs:
        return join(server, note("Not tracked: the release has no sealed run."))
    return join(server, table("Each run of the release, and where it is.", ("run", "MLflow run", "seal"), runs))


def _logged(run: Document) -> list[Child]:
    if run.get("mlflow"):
        return [code(run["mlflow"]), code(run.get("manifest") or MISSING)]
    return [f"not tracked: {run.get('why') or 'no reason is given'}", MISSING]


def checking(contents: Contents) -> Markup:
    """How to verify the release, and how to repeat it."""
    verify = (
        "Reads every byte again, verifies every run, asks every gate again and derives the decision again; offline. "
        "DIR is the folder that holds manifest.json, and this page."
    )
    repeat = "In that folder, from the spec that it holds in full. What was typed is in manifest.json."
    asked = contents.asked["spec"]["source"]
    source = f"The source is {asked['model']}; where that is a path, it is one of the machine that made the release."
    return join(
        tag("h3", "Verify"),
        tag("pre", "assay verify DIR"),
        note(verify),
        tag("h3", "Repeat"),
        tag("pre", EXTRACT),
        note(repeat),
        note(source),
    )


def times(contents: Contents) -> Markup:
    """How long each stage took, and how it ended."""
    records = list(contents.records.values())
    scale = linear([record.seconds for record in records], zero=True)
    rows = [row(_stage(record), _bar(scale.at(record.seconds)), _took(record)) for record in records]
    total = sum(record.seconds for record in records)
    about = note(
        f"{duration(total)} in all, over the {len(records)} stages that count; what was set aside as void is not in it."
    )
    failed = [record for record in records if record.failure]
    ends = [tag("li", tag("b", record.key), ": ", _failed(record)) for record in failed]
    logs = [(record.key, code(record.log)) for record in records if record.log]
    kept = folded("logs", facts(logs)) if logs else None
    return join(about, tag("ul", ends, class_="failed") if ends else None, plot(rows, kind="times"), kept)


def _stage(record: Record) -> Markup:
    tries = f", {record.tries} tries" if record.tries > 1 else ""
    reused = ", a sealed run of the same plan" if record.facts.get("reused") else ""
    return join(tag("b", record.key), tag("span", f"{record.status}{tries}{reused}"))


def _bar(width: str) -> Markup:
    return drawing(14, tag("rect", x=0, y=0, width=width, height=14, class_="bar"))


def _took(record: Record) -> Markup:
    return tag("b", duration(record.seconds))


def _failed(record: Record) -> str:
    failure, after = record.failure or {}, record.after or {}
    return f"{failure.get('class')}: {failure.get('message')} (then: {after.get('do') or 'nothing'})"


def synthetic(contents: Contents) -> list[str]:
    """The points whose runs hold answers that were recorded or made up."""
    return [name for name in contents.points if (contents.manifest(name) or {}).get("synthetic")]


def licence(contents: Contents) -> str | None:
    """What the source says of its own licence: in a GGUF file's metadata, or the head of a folder's README.md."""
    view: Document = contents.optional("source", "view.json") or {}
    values = (section.get("general.license") for section in (view.get("metadata") or {}).values())
    found = next((value for value in values if isinstance(value, str) and value), None)
    return found or next(_front_matter(contents), None)


def _front_matter(contents: Contents) -> Iterator[str]:
    """`license:` between the first two lines of dashes of the README.md beside the weights."""
    named = (contents.optional("source", "source.json") or {}).get("path")
    folder = contents.folder.at(str(named)) if named else None
    readme = folder / "README.md" if folder is not None and folder.is_dir() else None
    if readme is None or readme.is_symlink() or not readme.is_file():
        return
    with readme.open(encoding="utf-8", errors="replace") as file:
        head = file.read(8_000)
    if head.startswith("---\n"):
        for line in head[4:].partition("\n---")[0].splitlines():
            name, _, value = line.partition(":")
            if name == "license" and value.strip():
                yield value.strip()[:100]
