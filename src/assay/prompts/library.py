"""The prompts there are: built-in ones by name, anybody's by the path of a Markdown file."""

from __future__ import annotations

import functools
from pathlib import Path

from assay.document import nearest, read_text
from assay.errors import ConfigError, Problem
from assay.prompts.prompt import Prompt, parse

_FOLDER = Path(__file__).parent / "builtin"
_ENDING = ".md"


@functools.cache
def names() -> tuple[str, ...]:
    """The built-in prompts, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob(f"*{_ENDING}")))


def find(name_or_path: str) -> Prompt:
    """A built-in prompt, or the one in a file whose path ends in `.md`.

    Raises ConfigError where there is no such prompt, or with every problem of the file.
    """
    if name_or_path in names():
        return _builtin(name_or_path)
    if name_or_path.endswith(_ENDING):
        return read(Path(name_or_path).expanduser())
    if name_or_path == "default":
        raise ConfigError(Problem("'default' stands for each task's own prompt", allowed="a prompt's name"))
    allowed = f"default, {', '.join(names())}, or a file ending in {_ENDING}"
    close = nearest(name_or_path, ("default", *names()))
    raise ConfigError(Problem(f"unknown prompt {name_or_path!r}", allowed=allowed, nearest=close))


def read(path: Path) -> Prompt:
    """The prompt in a file. Raises ConfigError with every problem of the file."""
    return parse(read_text(path), str(path))


@functools.cache
def _builtin(name: str) -> Prompt:
    return parse(read_text(_FOLDER / f"{name}{_ENDING}"), f"built-in prompt {name}")
