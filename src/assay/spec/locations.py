"""Where each value of a spec was written: a line of a file, or an option of the command line.

The planner finds problems that only it can see (an unknown task) and reports them through here, so that they
name the line all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.document import Path, dotted
from assay.document.tree import line_of
from assay.errors import Problem
from assay.spec.secrets import mask


@dataclass(frozen=True, slots=True)
class Locations:
    """Lines of the file `where`, and the option for what the command line said.

    An option at a path speaks for everything below it, and goes before a line.
    """

    where: str | None = None
    lines: Mapping[Path, int] = field(default_factory=dict)
    options: Mapping[Path, str] = field(default_factory=dict)

    def problem(self, path: Path, message: str, allowed: str | None = None, nearest: str | None = None) -> Problem:
        """A Problem at `path`: ("tasks", 1, "task") names the option that set it, or the file, line and key.

        Whatever looks like a secret in the message is masked.
        """
        message, allowed = mask(message), mask(allowed) if allowed else None
        if option := self.option(path):
            return Problem(message, where=option, allowed=allowed, nearest=nearest)
        line = line_of(self.lines, path)
        key = mask(dotted(path)) or None
        return Problem(message, where=self.where, line=line, key=key, allowed=allowed, nearest=nearest)

    def option(self, path: Path) -> str | None:
        """The option that set `path` or something around it, such as `--limit`; None where none did."""
        ends = range(len(path), -1, -1)
        return next((self.options[path[:end]] for end in ends if path[:end] in self.options), None)
