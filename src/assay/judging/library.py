"""The rubrics there are: built-in ones by name, anybody's by the path of a Markdown file, and those a run carries.

A run keeps the whole text of each rubric that its candidates were judged by, in `judging/rubrics/`: a name and version
means one text there for good.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator
from pathlib import Path

from assay.document import nearest, read_text
from assay.errors import ConfigError, EvidenceError, Problem
from assay.files import write_atomic
from assay.judging.rubric import Rubric
from assay.judging.rubric_file import parse
from assay.run.folder import RunFolder

_FOLDER = Path(__file__).parent / "builtin"
_ENDING = ".md"


@functools.cache
def names() -> tuple[str, ...]:
    """The built-in rubrics, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob(f"*{_ENDING}")))


def find(name_or_path: str) -> Rubric:
    """A built-in rubric, or the one in a file whose path ends in `.md`.

    Raises ConfigError where there is no such rubric, or with every problem of the file.
    """
    if name_or_path in names():
        return _builtin(name_or_path)
    if name_or_path.endswith(_ENDING):
        return read(Path(name_or_path).expanduser())
    allowed = f"{', '.join(names())}, or a file ending in {_ENDING}"
    raise ConfigError(
        Problem(f"unknown rubric {name_or_path!r}", allowed=allowed, nearest=nearest(name_or_path, names()))
    )


def read(path: Path) -> Rubric:
    """The rubric in a file. Raises ConfigError with every problem of the file."""
    return parse(read_text(path), str(path))


@functools.cache
def _builtin(name: str) -> Rubric:
    return parse(read_text(_FOLDER / f"{name}{_ENDING}"), f"built-in rubric {name}")


def folder_of(run: RunFolder) -> Path:
    """Where a run keeps its rubrics."""
    return run.path / "judging" / "rubrics"


def carried(run: RunFolder) -> Iterator[Rubric]:
    """The rubrics that a run carries, by name. Raises EvidenceError where one of them is damaged."""
    for path in sorted(folder_of(run).glob(f"*{_ENDING}")):
        try:
            rubric = read(path)
        except ConfigError as error:
            raise EvidenceError(f"{path}: the rubric that the run carries is damaged: {error.message}") from None
        if rubric.label != path.stem:
            raise EvidenceError(f"{path}: holds the rubric {rubric.label}")
        yield rubric


def check_carried(run: RunFolder, rubric: Rubric) -> bool:
    """Whether the run carries this rubric. Raises ConfigError where it carries another of that name and version."""
    for other in carried(run):
        if other.label == rubric.label and other.digest != rubric.digest:
            message = f"{rubric.label} is not the {rubric.label} that {run.path} carries: {other.digest[:16]}"
            hint = f"a changed rubric is a new version: raise 'version' in {rubric.where}"
            raise ConfigError(Problem(message, rubric.where, allowed="the same text, or another version"), hint=hint)
        if other.label == rubric.label:
            return True
    return False


def carry(run: RunFolder, rubric: Rubric) -> None:
    """Keep the rubric's text in the run. Raises ConfigError as `check_carried`."""
    if not check_carried(run, rubric):
        write_atomic(folder_of(run) / f"{rubric.label}{_ENDING}", rubric.text.encode())


def named(run: RunFolder, label: str | None) -> Rubric:
    """The rubric that a run carries under a label such as `tip-v1`; without a label the only one it carries.

    Raises ConfigError where there is none, or where there are several and none was named.
    """
    found = {rubric.label: rubric for rubric in carried(run)}
    if label is None and len(found) == 1:
        return next(iter(found.values()))
    if label in found:
        return found[str(label)]
    if not found:
        raise ConfigError(f"{run.path} carries no rubric: nothing of it was given to a judge yet")
    message = "carries several rubrics" if label is None else f"does not carry the rubric {label!r}"
    raise ConfigError(Problem(message, str(run.path), allowed=", ".join(found)))


def difference(old: Rubric, new: Rubric) -> list[str]:
    """The lines in which two rubrics' files differ, as a unified diff; none where they are the same."""
    before, after = old.text.splitlines(), new.text.splitlines()
    return list(difflib.unified_diff(before, after, old.where, new.where, lineterm=""))
