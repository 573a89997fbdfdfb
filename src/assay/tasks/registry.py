"""Which tasks there are: those that installed packages name in the entry-point group `assay.tasks`.

assay's own come through the same door. Names are read from package metadata; a task's module is imported only
when that task is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from assay.errors import ConfigError, Problem
from assay.tasks.base import Task

if TYPE_CHECKING:
    from assay.data.dataset import Dataset
    from assay.data.sources import Progress
    from assay.spec.schema import FieldsSpec

GROUP = "assay.tasks"
FILE = "file:"
SCENARIO = "scenario:"

Options = Mapping[str, bool | int | float | str]
"""A task's parameters, where it has any."""


def names() -> tuple[str, ...]:
    """The names of all tasks, sorted."""
    return tuple(sorted(_entries()))


def find(name: str, fields: FieldsSpec | None = None, options: Options | None = None) -> Task:
    """The task called `name`, or the one of the file of `file:PATH` or `scenario:PATH`.

    `fields` says which column of a `file:` holds what; without it, columns of the usual names are taken. `options` are
    the parameters of a task that has some. Raises ConfigError naming the nearest task and all there are.
    """
    if fields is not None and not name.startswith(FILE):
        reason = f"{name!r} has fields of its own"
        raise ConfigError(Problem(reason, key="fields", allowed="with file: tasks"))
    if name.startswith(SCENARIO):
        from assay.tasks.scenario import task as scenario

        return scenario(name.removeprefix(SCENARIO), options)
    if name.startswith(FILE):
        from assay.tasks.file import task

        _refuse(name, options)
        return task(name.removeprefix(FILE), fields)
    entry = _entries().get(name)
    if entry is None:
        raise _unknown(name)
    return _loaded(entry, options)


def load(
    name: str, fields: FieldsSpec | None = None, progress: Progress | None = None, options: Options | None = None
) -> tuple[Task, Dataset]:
    """A task and its samples, fetched where they are not here yet. Raises what `find` and `data.load`
    raise."""
    from assay.data.dataset import load as dataset

    task = find(name, fields, options)
    return task, dataset(task.name, task.sources, version=task.version, progress=progress)


@cache
def _entries() -> Mapping[str, EntryPoint]:
    """Every name and where it leads. Two packages that claim one name are an error, found when it is used."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        first = found.setdefault(entry.name, entry)
        if first.value != entry.value:
            raise ConfigError(
                f"two packages define the task {entry.name!r}: {_from(first)} and {_from(entry)}",
                hint="uninstall one of them",
            )
    return found


def _from(entry: EntryPoint) -> str:
    return f"{entry.dist.name if entry.dist else '?'} ({entry.value})"


def _refuse(name: str, options: Options | None) -> None:
    """Raises ConfigError for options that nobody would read."""
    if options:
        raise ConfigError(Problem(f"the task {name!r} has no parameters", key="options", allowed="none"))


def _loaded(entry: EntryPoint, options: Options | None) -> Task:
    try:
        value = entry.load()
        if isinstance(value, Task):
            _refuse(entry.name, options)
        task = value if isinstance(value, Task) else value(options) if options else value()
    except ConfigError:
        raise
    except Exception as error:  # another package's code may raise anything
        raise ConfigError(f"the task {entry.name!r} of {_from(entry)} cannot be loaded: {error}") from error
    if not isinstance(task, Task) or task.name != entry.name:
        raise ConfigError(f"{_from(entry)} is not a task called {entry.name!r}")
    return task


def _unknown(name: str) -> ConfigError:
    known = names()
    nearest = next(iter(get_close_matches(name, known, n=1, cutoff=0.6)), None)
    allowed = f"{', '.join(known)}, file:PATH, scenario:PATH"
    return ConfigError(Problem(f"unknown task {name!r}", allowed=allowed, nearest=nearest))
