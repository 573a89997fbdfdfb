"""Samples that another tool has drawn: HumanEval's and EvalPlus's files, read as what they are and no more.

    {"task_id": "HumanEval/0", "completion": "    return sorted(numbers)\\n"}   goes after the problem's prompt
    {"task_id": "HumanEval/0", "solution": "def has_close_elements(…): …"}      is a whole program

JSON lines, plain or gzip; or EvalPlus's folder, `HumanEval_0/0.py`, whose files are whole programs. Rows of one
problem are its samples in the order of the file. Other keys (`passed`, `result`, `is_solved`) are what somebody says
of the sample: kept as labels, never used to score it. The file is read twice, once to check and count it and once to
copy it; no text stays in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from assay.data.rows import MAX_LINE, BrokenFileError, rows
from assay.data.sources import Row, Skip
from assay.errors import ConfigError, Problem
from assay.files import digest_file, digest_of

Form = Literal["completion", "program"]

MOST_LABELS = 50
LONGEST_LABEL = 200
"""Labels of more characters are data of their own (tests, prompts), not a word on the sample."""

_SHOWN_PROBLEMS = 20
_PROBLEMS_OWN = frozenset({"prompt", "test", "entry_point", "canonical_solution", "test_list", "given_tests", "text"})
"""Keys that repeat the problem; the task's own data says what it is."""

_FORMS: dict[str, Form] = {"completion": "completion", "solution": "program"}
_ALLOWED_ROW = "task_id with either completion (goes after the prompt) or solution (a whole program)"
_NUMBERED = re.compile(r"(\d+)|(\D+)")


@dataclass(frozen=True, slots=True)
class Given:
    """One sample: the problem's id as the task spells it, its text, what that is, and what the file says of it.

    `place` is where it stands, as `{"line": 3}` or `{"file": "HumanEval_0/0.py"}`.
    """

    sample: str
    text: str
    form: Form
    place: Mapping[str, Any]
    labels: Mapping[str, Any]


class Names:
    """The ids of a task's problems, found however a file spells them: `HumanEval/0`, `humaneval_0`, `0`, 0."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = tuple(ids)
        self._exact = frozenset(self._ids)
        self._meant: dict[str, str | None] = {}
        for name in self._ids:
            folded = _folded(name)
            for alias in {folded, folded.rpartition("/")[2]}:
                self._meant[alias] = None if alias in self._meant else name

    def find(self, name: object) -> str | Skip:
        """The id that is meant, or why none is."""
        if isinstance(name, bool) or not isinstance(name, str | int):
            return Skip("task_id is missing" if name is None else "task_id is no text", allowed=self._some())
        text = str(name)
        if text in self._exact:
            return text
        found = self._meant.get(_folded(text), "")
        if found:
            return found
        if found is None:
            return Skip(f"task_id {text[:100]!r} could be several problems", allowed=f"a whole id: {self._some()}")
        return Skip(f"no problem has the id {text[:100]!r}", allowed=self._some())

    def _some(self) -> str:
        if len(self._ids) <= 3:
            return ", ".join(self._ids)
        return f"{self._ids[0]}, {self._ids[1]}, …, {self._ids[-1]}"


def _folded(name: str) -> str:
    return name.strip().casefold().replace("_", "/")


@dataclass
class Samples:
    """A file that has been checked. `counts`: how many samples each problem has, in the order of the problems;
    problems without any are not in it. `left_out`: keys that were too long or nested to be kept as labels.
    """

    path: Path
    digest: str
    counts: dict[str, int]
    left_out: tuple[str, ...]
    names: Names = field(repr=False)

    def __len__(self) -> int:
        """How many samples there are."""
        return sum(self.counts.values())

    def __iter__(self) -> Iterator[Given]:
        """Every sample in the order of the file. Raises ConfigError where the file is no longer what was checked."""
        changed = ConfigError(Problem("the file changed while it was read", where=str(self.path)))
        try:
            for _, given in _read(self.path, self.names, set()):
                if isinstance(given, Skip):
                    raise changed
                yield given
            if _digest(self.path) != self.digest:
                raise changed
        except (BrokenFileError, OSError):
            raise changed from None


def read(path: Path, ids: Iterable[str]) -> Samples:
    """Check a file or folder of samples for the problems `ids`.

    Raises ConfigError with the first twenty problems, each with its line, and how many more there are; or for a file
    that cannot be read, that expands beyond bounds (16 MiB a line, 4 GiB in all) or that holds no sample.
    """
    known = tuple(ids)
    names = Names(known)
    problems: list[Problem] = []
    found: dict[str, int] = {}
    left_out: set[str] = set()
    more = 0
    try:
        digest = _digest(path)
        for place, given in _read(path, names, left_out):
            if isinstance(given, Given):
                found[given.sample] = found.get(given.sample, 0) + 1
            elif len(problems) < _SHOWN_PROBLEMS:
                problems.append(_problem(path, place, given))
            else:
                more += 1
    except BrokenFileError as error:
        problems.append(Problem(error.reason, where=str(path), line=error.line))
    except OSError as error:
        raise ConfigError(Problem(error.strerror or str(error), where=str(path))) from None
    if more:
        problems.append(Problem(f"and {more} more rows that cannot be used", where=str(path)))
    if not problems and not found:
        problems.append(Problem("no samples in this file", where=str(path), allowed=_ALLOWED_ROW))
    if problems:
        raise ConfigError(problems)
    counts = {name: found[name] for name in known if name in found}
    return Samples(path, digest, counts, tuple(sorted(left_out)), names)


def _problem(path: Path, place: Mapping[str, Any], skip: Skip) -> Problem:
    where = path / place["file"] if "file" in place else path
    return Problem(skip.reason, str(where), place.get("line"), skip.key, skip.allowed, skip.nearest)


def _read(path: Path, names: Names, left_out: set[str]) -> Iterator[tuple[Mapping[str, Any], Given | Skip]]:
    if path.is_dir():
        yield from _folder(path, names)
        return
    for number, row in rows(path, "jsonl"):
        place = {"line": number}
        yield place, row if isinstance(row, Skip) else _given(row, place, names, left_out)


def _given(row: Row, place: Mapping[str, Any], names: Names, left_out: set[str]) -> Given | Skip:
    sample = names.find(row.get("task_id"))
    if isinstance(sample, Skip):
        return sample
    present = [key for key in _FORMS if row.get(key) is not None]
    if len(present) != 1:
        return Skip("both completion and solution" if present else "no completion", allowed=_ALLOWED_ROW)
    text = row[present[0]]
    if not isinstance(text, str):
        return Skip(f"{present[0]} is no text", key=present[0], allowed="text")
    return Given(sample, text, _FORMS[present[0]], place, _labels(row, left_out))


def _labels(row: Row, left_out: set[str]) -> dict[str, Any]:
    """What else the row says, as far as it is short and plain."""
    kept: dict[str, Any] = {}
    for key, value in row.items():
        if key == "task_id" or key in _FORMS or value is None:
            continue
        if key not in _PROBLEMS_OWN and _short(key) and _short(value) and len(kept) < MOST_LABELS:
            kept[key] = value
        elif len(left_out) < MOST_LABELS:
            left_out.add(key[:LONGEST_LABEL])
    return kept


def _short(value: object) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= LONGEST_LABEL)


def _folder(path: Path, names: Names) -> Iterator[tuple[Mapping[str, Any], Given | Skip]]:
    for name in _programs(path):
        place = {"file": name}
        sample = names.find(name.partition("/")[0])
        if isinstance(sample, Skip):
            yield place, sample
            continue
        text = _text(path / name)
        yield place, text if isinstance(text, Skip) else Given(sample, text, "program", place, {})


def _programs(path: Path) -> list[str]:
    """`HumanEval_0/0.py` and so on, numbers in the order of numbers."""
    found = (file.relative_to(path).as_posix() for file in path.glob("*/*.py"))
    return sorted(found, key=lambda name: [(int(number or 0), word) for number, word in _NUMBERED.findall(name)])


def _text(file: Path) -> str | Skip:
    """A program's text. A link is refused: it would copy what it points to into the evidence."""
    if file.is_symlink() or file.parent.is_symlink() or not file.is_file():
        return Skip("not a plain file", allowed="Python files in plain folders")
    if file.stat().st_size > MAX_LINE:
        return Skip(f"larger than {MAX_LINE >> 20} MiB")
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        return Skip(f"not UTF-8 at byte {error.start}", allowed="UTF-8")


def _digest(path: Path) -> str:
    """SHA-256 of the file; of a folder, of its programs' names and digests."""
    if not path.is_dir():
        return digest_file(path)
    plain = (name for name in _programs(path) if (path / name).is_file() and not (path / name).is_symlink())
    return digest_of([[name, digest_file(path / name)] for name in plain])
