"""Verifying a release offline: every byte is what was sealed, every run holds, every gate and the decision follow.

Passes, each of which stops the rest where it finds something: the manifest covers exactly the files that are there; the
signature is of it; stages' records are whole and stand on one another; each nested run verifies; each gate asked again
gives the stored result; no gate was left out, and each was asked of these runs by the spec's own policy; the decision
and the front follow from the records; the page and the card follow from all that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from assay.errors import AssayError, EvidenceError
from assay.evidence import signing
from assay.evidence.keys import VerifyKey
from assay.evidence.verify import Finding
from assay.evidence.verify import verify as verify_run
from assay.files import pretty, read_json
from assay.gates.policy import Policy
from assay.gates.result import GateResult
from assay.release import card, checking, decision, points, report, seal
from assay.release.decision import Levels
from assay.release.folder import BASELINE, ReleaseFolder
from assay.release.stages.base import Gate, Record
from assay.release.stages.store import Store
from assay.version import __version__

Pass = Callable[[ReleaseFolder], Iterator[Finding]]


def subject_of(path: Path) -> Path:
    """The manifest that vouches for a release. Raises EvidenceError where its files are not the sealed ones."""
    folder = ReleaseFolder(path.parent if path.is_file() else path)
    seal.intact(folder)
    return folder.manifest


def verify(
    path: Path,
    progress: Callable[[str], None] = lambda _: None,
    *,
    keys: Sequence[VerifyKey] = (),
    note: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Everything that is wrong with a sealed release; an empty list where all of it holds."""
    folder = ReleaseFolder(path.parent if path.is_file() else path)
    if not folder.manifest.exists():
        return [Finding("manifest.json", "missing: this release was never sealed")]
    passes: list[tuple[str, Pass]] = [
        ("hashing files", _files),
        ("checking signatures", lambda found: _signature(found, keys, note)),
        ("checking stages", _stages),
        ("verifying runs", lambda found: _runs(found, progress, note)),
        ("gating again", lambda found: _gates(found, note)),
        ("checking gates", lambda found: checking.problems(found, Store(found).records())),
        ("searching again", _search),
        ("deciding again", _decision),
        ("writing the pages again", lambda found: _pages(found, note)),
    ]
    for title, check in passes:
        progress(title)
        if findings := _tried(folder, title, check):
            return findings
    return []


def _tried(folder: ReleaseFolder, title: str, check: Pass) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in check(folder):
            found.append(finding)  # noqa: PERF402 - what was found before an error is kept
    except AssayError as error:
        found.append(Finding(str(folder.path), error.message))
    except (OSError, KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        found.append(Finding(str(folder.path), f"{title}: not what assay writes ({error!r})"))
    return found


def _files(folder: ReleaseFolder) -> Iterator[Finding]:
    yield from (Finding(*problem) for problem in seal.problems(folder, hashed=True))
    manifest = seal.read(folder)
    if manifest["spec"] != folder.content()["digest"]:
        yield Finding("release.json", "is of another spec than the manifest sealed")


def _signature(folder: ReleaseFolder, keys: Sequence[VerifyKey], note: Callable[[str], None]) -> Iterator[Finding]:
    envelope = signing.beside(folder.manifest)
    if not keys and not envelope.exists():
        return
    found = signing.check(folder.manifest, keys)
    yield from (Finding(envelope.name, problem) for problem in found.problems)
    for keyid in found.verified:
        note(f"{envelope.name}: signed with key {keyid[:16]}")
    if not keys and not found.problems:
        note(f"{envelope.name}: who signed it was not checked; --key does that")


def _stages(folder: ReleaseFolder) -> Iterator[Finding]:
    """Records are whole, of things that are there, and stand on the records that are there."""
    store = Store(folder)
    ids: dict[str, str] = {}
    for key, path in store.files().items():
        record = store.read(key)
        if record is None:
            continue
        ids[key] = record.id
        name = folder.relative(path)
        for need, wanted in record.needs.items():
            if ids.get(need) != wanted:
                yield Finding(name, f"stands on another {need} than the one that is here")
        for output in record.outputs:
            if not Path(output.path).is_absolute() and (problem := output.problem(folder)):
                yield Finding(name, problem)
    if "decide" not in ids:
        yield Finding("stages", "the release was never decided")


def _runs(folder: ReleaseFolder, progress: Callable[[str], None], note: Callable[[str], None]) -> Iterator[Finding]:
    for path in seal.nested(folder):
        name = folder.relative(path)
        progress(f"verifying {name}")
        found = verify_run(path, note=lambda text, name=name: note(f"{name}/{text}"))  # type: ignore[misc]
        yield from (Finding(f"{name}/{finding.path}", finding.problem) for finding in found)


def _gates(folder: ReleaseFolder, note: Callable[[str], None]) -> Iterator[Finding]:
    """Gates on checkpoints and deployments, from what they read; those on runs were asked again with the runs."""
    for key, record in Store(folder).records().items():
        if record.gate is None:
            continue
        path = folder.inside(record.gate.file)
        stored = read_json(path)
        told = (stored["verdict"], stored["failure_class"], tuple(stored["reasons"]))
        if told != (record.gate.verdict, record.gate.failure_class, record.gate.reasons):
            yield Finding(record.gate.file, f"says something else than the record of {key}")
        again = _again(folder, record)
        if again is None:
            continue
        if pretty(again.to_json()) != path.read_bytes():
            yield Finding(record.gate.file, "the gate, asked again of what it read, says something else")


def _again(folder: ReleaseFolder, record: Record) -> GateResult | None:
    """What a gate says of what is kept of its inputs; None for one on runs."""
    place = folder.point(record.point) / "gates" if record.point else folder.source
    if record.stage == "prepare":
        from assay.release.feasible import again

        spec = folder.content()["spec"]
        return again(read_json(place / "prepare.json"), Policy.model_validate(spec["policy"]), _asked(folder))
    if record.stage == "ptq":
        from assay.gates.ptq import ptq

        source, made = read_json(folder.source / "view.json"), read_json(place / "view.json")
        return ptq(source, made, _recipe(folder, str(record.point)))
    if record.stage == "deploy":
        from assay.release.resolve import limits_of
        from assay.release.stages.serve import judged_again

        recipe = None if record.point == BASELINE else _recipe(folder, str(record.point))
        return judged_again(folder, str(record.point), limits_of(folder.content()["spec"]["serving"]["health"], recipe))
    return None


def _recipe(folder: ReleaseFolder, name: str) -> Any:
    from assay.release.stages.quantize import recipe_of

    return recipe_of(read_json(folder.point(name) / "recipe.json"))


def _search(folder: ReleaseFolder) -> Iterator[Finding]:
    """The finalists are those that the search comes to, from what its runs measured."""
    content = folder.content()
    if content["spec"].get("search") is None:
        return
    from assay.release.space import from_json
    from assay.release.stages.screen import problems

    yield from (
        Finding(*problem) for problem in problems(folder, from_json(content["search"]), Store(folder).records())
    )


def _asked(folder: ReleaseFolder) -> Levels:
    """The levels that the spec asks for."""
    content = folder.content()
    spec = content["spec"]
    tested = content["search"]["finalists"] if "search" in content else len(content["recipes"])
    return Levels(spec["policy"]["alpha"], spec["correction"], tested, spec["samples"]["rounds"])


def _decision(folder: ReleaseFolder) -> Iterator[Finding]:
    """The decision is that of the records, at the levels that the spec asks for."""
    records = Store(folder).records()
    last, levels = records.pop("decide"), _asked(folder)
    regated = {
        name: Gate(**{**gate, "reasons": tuple(gate["reasons"])}) for name, gate in last.facts["regated"].items()
    }
    asked = points.asked_of(folder, records, levels)
    found = points.points_of(folder, last.facts["recipes"], records, regated, last.facts["untried"])
    yield from _levels(folder, records, found, regated, levels)
    for path, again in ((folder.decision, decision.decide(asked, found)), (folder.front, decision.front(asked, found))):
        if pretty(again) != path.read_bytes():
            yield Finding(folder.relative(path), "is not what the records of the stages come to")
    if seal.read(folder)["verdict"] != read_json(folder.decision)["verdict"]:
        yield Finding("manifest.json", "names another verdict than the decision")


def _levels(
    folder: ReleaseFolder,
    records: dict[str, Record],
    found: Sequence[decision.Point],
    regated: dict[str, Gate],
    levels: Levels,
) -> Iterator[Finding]:
    """Every comparison that counts was made at a level that the correction allows it."""
    for key, record in records.items():
        if record.stage == "compare" and record.gate is not None:
            alpha = read_json(folder.inside(record.gate.file))["policy"]["content"]["alpha"]
            if alpha > levels.level():
                yield Finding(record.gate.file, f"{key} was made at a level of {alpha:g}, above {levels.level():g}")
    accepted = [point for point in found if point.verdict == "ACCEPT"]
    for name, gate in regated.items():
        document = read_json(folder.inside(gate.file))
        most = levels.level(len(accepted) - 1)
        if gate.verdict != "ACCEPT" or document["verdict"] != "ACCEPT" or document["policy"]["content"]["alpha"] > most:
            raise EvidenceError(f"{gate.file}: {name} was accepted at a level that the correction does not allow")


def _pages(folder: ReleaseFolder, note: Callable[[str], None]) -> Iterator[Finding]:
    """What people read says what was found: written again by the same version it is the same, byte by byte."""
    version = seal.read(folder)["tool"]["version"]
    for name, text in ((report.PAGE, report.text), (card.CARD, card.text)):
        path = folder.path / name
        if not path.is_file():
            yield Finding(name, "missing: a release is sealed with it")
        elif version != __version__:
            note(f"{name}: written by assay {version}, and not written again by {__version__}")
        elif text(folder).encode("utf-8", "replace") != path.read_bytes():
            yield Finding(name, "is not what the release comes to")
