"""Admissions on disk: a sealed folder with the decision, the ratings behind it, and a manifest of both.

    admission.json   the document of assay.judging.admission
    ratings.jsonl    one answer a line: what people said of it and what the judge did
    manifest.json    the digests of both, and the runs they come from

The decision is derived again from the ratings whenever it is read; and where the runs that it names are at hand in the
same seals, the ratings are derived again from these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from assay.errors import AssayError, ConfigError, EvidenceError, MachineError, Problem
from assay.evidence.manifest import SIGNATURE, entry, identity, read_manifest
from assay.files import digest_file, pretty, read_json, sync_folder, write_atomic
from assay.gates.judges import Admission, JudgePolicy
from assay.judging.admission import SCHEMA, admission
from assay.judging.library import named
from assay.judging.ratings import Collected, Ratings, lines, model_judge, parse
from assay.judging.rubric import Rubric
from assay.run.folder import RunFolder
from assay.version import __version__

MANIFEST_SCHEMA = "assay.admission_manifest.v1"
KIND = "admission"
FILES = ("admission.json", "ratings.jsonl")
_KEYS = frozenset({"schema", "kind", "id", "created", "tool", "parents", "files"})
_STORED = frozenset({"judge", "rubric", "policy", "parents", "synthetic", "ignored", "agreement"})


def collected(runs: Sequence[Path], label: str | None) -> Collected:
    """What judges said in these runs, by the rubric of that label or the only one they carry.

    A sealed run's files must be the sealed ones. Raises ConfigError where a run is none, is named twice, or carries
    another rubric than the first; EvidenceError where a run's files are not the sealed ones.
    """
    found: Collected | None = None
    plans: dict[str, Path] = {}
    for path in runs:
        folder = RunFolder(path)
        plan = folder.plan()
        if plans.setdefault(plan.digest, path) is not path:
            raise ConfigError(Problem(f"has the plan of {plans[plan.digest]}", str(path), allowed="each run once"))
        if folder.manifest.exists():
            _intact(path)
        rubric = named(folder, label)
        found = found or Collected(rubric)
        if rubric.digest != found.rubric.digest:
            message = f"carries {rubric.label} ({rubric.digest[:12]}), the first run {found.rubric.label}"
            raise ConfigError(Problem(message, str(path), allowed="runs that were judged by one rubric: --rubric"))
        found.add(folder, plan, rubric)
    if found is None:
        raise ConfigError("no run was named")
    return found


def _intact(path: Path) -> None:
    from assay.evidence.verify import subject_of  # which looks in here to verify admissions

    subject_of(path)


def parents_of(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """The runs as an admission names them. Raises ConfigError for one that is not sealed."""
    found = []
    for path in runs:
        folder = RunFolder(path)
        if not folder.manifest.exists():
            raise ConfigError(f"{path}: this run was never sealed, and an admission rests on sealed runs alone")
        manifest = read_manifest(folder.manifest)
        parent = {"kind": "run", "name": path.resolve().name, "id": manifest["id"]}
        found.append({**parent, "sha256": digest_file(folder.manifest), "plan": manifest["plan"]})
    return found


def decide(runs: Sequence[Path], ratings: Ratings, rubric: Rubric, policy: JudgePolicy) -> dict[str, Any]:
    """The admission's document for one judge. Raises ConfigError for runs without a seal and a policy that does not
    fit the rubric.
    """
    parents = parents_of(runs)
    synthetic = any(read_manifest(RunFolder(path).manifest)["synthetic"] for path in runs)
    return admission(ratings, rubric.content, policy, parents, synthetic=synthetic)


def keep(document: Mapping[str, Any], ratings: Ratings, out: Path) -> dict[str, Any]:
    """Seal an admission in the new folder `out`, whole or not at all; returns its manifest.

    Raises ConfigError where something is there already, MachineError where it cannot be written.
    """
    if out.exists():
        raise ConfigError(Problem("is there already, and what is sealed is never rewritten", str(out)))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
            part = Path(name) / out.name
            manifest = _written(part, document, ratings)
            part.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        raise MachineError(f"cannot write {out}", layer="admission", errno=error.errno) from error
    return manifest


def _written(part: Path, document: Mapping[str, Any], ratings: Ratings) -> dict[str, Any]:
    write_atomic(part / "ratings.jsonl", lines(ratings.units))
    write_atomic(part / "admission.json", pretty(dict(document)))
    manifest: dict[str, Any] = {
        "schema": MANIFEST_SCHEMA,
        "kind": KIND,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tool": {"name": "assay", "version": __version__},
        "parents": document["parents"],
        "files": [entry(part, part / name) for name in FILES],
    }
    manifest["id"] = identity(manifest)
    write_atomic(part / "manifest.json", pretty(manifest))
    return manifest


def is_admission(path: Path) -> bool:
    """Whether a folder is an admission's."""
    return (path / "admission.json").is_file() and not (path / "plan.json").exists()


def manifest_of(path: Path) -> dict[str, Any]:
    """The manifest of an admission whose files are the sealed ones. Raises EvidenceError that says what is wrong."""
    manifest = read_json(path / "manifest.json", MANIFEST_SCHEMA)
    if set(manifest) != _KEYS or manifest["kind"] != KIND or manifest["id"] != identity(manifest):
        raise EvidenceError(f"{path / 'manifest.json'}: the manifest was changed: its id is not that of its content")
    there = {each.name for each in path.iterdir()} - {"manifest.json", SIGNATURE}
    if there != set(FILES) or any(not (path / name).is_file() or (path / name).is_symlink() for name in FILES):
        raise EvidenceError(f"{path}: holds {', '.join(sorted(there))}; an admission has {' and '.join(FILES)}")
    if manifest["files"] != [entry(path, path / name) for name in FILES]:
        changed = [name for name in FILES if entry(path, path / name) not in manifest["files"]]
        raise EvidenceError(f"{path / changed[0] if changed else path}: was changed after sealing")
    return manifest


def derived(path: Path) -> tuple[dict[str, Any], Ratings]:
    """The stored document, and the ratings that it was derived from; the document again from these must be the same.

    Raises EvidenceError where it is not, or is no admission.
    """
    stored = read_json(path / "admission.json", SCHEMA)
    try:
        ratings, policy = _ratings(stored, path), JudgePolicy.model_validate(stored["policy"]["content"])
        rubric, parents = stored["rubric"]["content"], stored["parents"]
        again = admission(ratings, rubric, policy, parents, synthetic=stored["synthetic"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, ConfigError) as error:
        raise EvidenceError(f"{path / 'admission.json'}: not an admission that this version derives: {error}") from None
    if pretty(again) != (path / "admission.json").read_bytes():
        from assay.evidence.verdicts import differences

        told = "; ".join(differences(stored, again)) or "its bytes are not those that assay writes"
        raise EvidenceError(f"{path / 'admission.json'}: {told}")
    return stored, ratings


def _ratings(stored: Mapping[str, Any], path: Path) -> Ratings:
    dimensions = [one["name"] for one in stored["rubric"]["content"]["dimensions"] if one["kind"] == "judged"]
    rows = [orjson.loads(line) for line in (path / "ratings.jsonl").read_bytes().splitlines()]
    units = parse(rows, dimensions)
    judge = model_judge(str(stored["judge"]["name"]), stored["judge"])
    return Ratings(judge, units, stored["ignored"], tuple(stored["agreement"]["marked"]))


def read(path: Path) -> Admission:
    """An admission as gates read it; `why` says what is wrong where it does not hold.

    Raises ConfigError where there is none.
    """
    if not is_admission(path):
        raise ConfigError(Problem("not an admission (it has no admission.json)", str(path), allowed="--admission DIR"))
    name = path.resolve().name
    if why := "; ".join(f"{file}: {problem}" for file, problem in problems(path)):
        return Admission(name, why=why)
    manifest, stored = manifest_of(path), read_json(path / "admission.json", SCHEMA)
    return Admission(
        name=name,
        manifest=manifest["id"],
        sha256=digest_file(path / "manifest.json"),
        judge=stored["judge"]["name"],
        identity=stored["judge"]["identity"],
        rubric=stored["rubric"]["digest"],
        admitted=stored["admitted"],
        verdict=stored["verdict"],
        covers=tuple(stored["covers"]),
        policy=stored["policy"]["digest"],
    )


def _parents_named(path: Path, manifest: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    if manifest["parents"] != stored["parents"]:
        raise EvidenceError(f"{path / 'manifest.json'}: names other runs than admission.json")


def problems(path: Path, note: Callable[[str], None] = lambda _: None) -> Iterator[tuple[str, str]]:
    """(file, problem) for whatever does not hold: its bytes, what is derived from them, and where its runs are at hand
    in the seal that it names, the ratings that these hold. `note` is told which runs are not.
    """
    try:
        manifest = manifest_of(path)
        stored, ratings = derived(path)
        _parents_named(path, manifest, stored)
        yield from _against_runs(path, stored, ratings, note)
    except (AssayError, OSError) as error:
        yield path.name, error.message if isinstance(error, AssayError) else str(error)


def _against_runs(
    path: Path, stored: Mapping[str, Any], ratings: Ratings, note: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    runs = [(parent, find_run(path, parent)) for parent in stored["parents"]]
    for parent, found in runs:
        if found is None:
            note(
                f"the run {parent['name']} (seal {parent['id']}) is not here as it was: its ratings were not read again"
            )
    here = [found for _, found in runs if found is not None]
    if len(here) < len(runs):
        return
    content = stored["rubric"]["content"]
    again = collected(here, f"{content['id']}-v{content['version']}").of(ratings.judge)
    if again.judge != ratings.judge or b"".join(lines(again.units)) != (path / "ratings.jsonl").read_bytes():
        yield "ratings.jsonl", "differs from what the runs hold that it names"
    if dict(again.ignored) != stored["ignored"] or pretty([*again.marked]) != pretty(stored["agreement"]["marked"]):
        yield "admission.json", "what was left out, or marked, differs from what the runs hold that it names"


def find_run(path: Path, parent: Mapping[str, Any]) -> Path | None:
    """The run that a parent names, in the seal that it names: beside the admission, or in a folder beside that."""
    for folder in beside(path):
        manifest = folder / "manifest.json"
        if (folder / "plan.json").is_file() and manifest.is_file() and digest_file(manifest) == parent["sha256"]:
            return folder
    return None


def beside(path: Path) -> Iterator[Path]:
    """Where what belongs to `path` is looked for: beside it, and in `runs` and `admissions` beside its folder."""
    home = path.resolve().parent
    for place in dict.fromkeys((home, home.parent / "runs", home.parent / "admissions")):
        yield from _folders(place)


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(each for each in path.iterdir() if each.is_dir() and not each.is_symlink())
    except OSError:
        return []


def find(path: Path, wanted: str) -> Path:
    """The admission of that manifest id, for the run at `path`. Raises EvidenceError where it is not here."""
    for folder in beside(path):
        if is_admission(folder):
            try:
                if read_json(folder / "manifest.json", MANIFEST_SCHEMA).get("id") == wanted:
                    return folder
            except EvidenceError:
                continue
    raise EvidenceError(f"the admission {wanted} is not here")


def all_of(paths: Iterable[Path]) -> list[Admission]:
    """Each admission once, in the order given. Raises ConfigError for a folder that is none."""
    return [read(path) for path in dict.fromkeys(path.resolve() for path in paths)]
