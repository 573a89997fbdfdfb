"""Verdicts beside a run: each is derived again from the evidence it names, with its own policy, and compared by byte.

A verdict is written after the seal, so the seal need not cover it: it stands on the digests that it names, on being
derived again, and on its own signature.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import AssayError, EvidenceError
from assay.files import pretty, read_json

SCHEMA = "assay.gate.v1"
Derive = Callable[[Mapping[str, Any], Path], Mapping[str, Any]]
"""(a verdict, its file) to the verdict that the evidence it names gives now; AssayError where that is not here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one verdict: derived again alike, derived differently (`problems`), or not derived (`why`)."""

    path: Path
    problems: tuple[str, ...] = ()
    why: str = ""


def check(folder: Path, derive: Derive | None = None) -> Iterator[Outcome]:
    """Derive every verdict in `folder`/verdicts again."""
    for path in sorted(folder.glob("verdicts/*.json")):
        if not path.name.endswith(".sig.json"):
            yield check_file(path, derive)


def check_file(path: Path, derive: Derive | None = None) -> Outcome:
    """Derive one verdict again, with `derive` or with the gates themselves."""
    try:
        document = read_json(path, SCHEMA)
    except EvidenceError as error:
        return Outcome(path, (error.message.removeprefix(f"{path}: "),))
    try:
        again = (derive or _derive)(document, path)
    except AssayError as error:
        return Outcome(path, why=error.message)
    if pretty(again) == path.read_bytes():
        return Outcome(path)
    return Outcome(path, tuple(differences(document, again)) or ("its bytes are not those that assay writes",))


def _derive(document: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    from assay.evidence.derive import derive  # loads numpy and the gates, which most runs do without

    return derive(document, path)


def differences(stored: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[str]:
    """Each place where two documents differ, as `numbers.delta: 0.1, derived again 0.2`; at most 20."""
    for count, (place, left, right) in enumerate(_walk(stored, again, "")):
        if count == 20:
            yield "and more"
            return
        yield f"{place}: {_short(left)}, derived again {_short(right)}"


def _walk(left: Any, right: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}, key=str):
            yield from _walk(left.get(key, _ABSENT), right.get(key, _ABSENT), f"{place}.{key}" if place else str(key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _walk(one, other, f"{place}[{number}]")
    elif left != right or type(left) is not type(right):
        yield place, left, right


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def uncovered(folder: Path, listed: Collection[str]) -> set[str]:
    """The names of the verdicts that no manifest covers."""
    names = (path.relative_to(folder).as_posix() for path in folder.glob("verdicts/*.json"))
    return {name for name in names if name not in listed}
