"""Modules whose text is read before a worker's world closes, for the one process in it that imports them.

What the template holds, every solution's process is made with and torn down with: it must hold little.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

NAMES = ("execution", "instrument", "remote", "checker", "nursery")
"""What checkers need beyond what solutions need, all of this package."""


class Late:
    """Finds and loads these modules from memory. For `sys.meta_path`."""

    def __init__(self) -> None:
        folder = os.path.dirname(os.path.abspath(__file__))
        self._sources: dict[str, tuple[str, bytes]] = {}
        for name in NAMES:
            path = os.path.join(folder, f"{name}.py")
            with open(path, "rb") as file:
                self._sources[f"{__package__}.{name}"] = path, file.read()

    def install(self) -> None:
        """Let this process import them."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of one of these modules; None for anything else."""
        if name not in self._sources:
            return None
        return spec_from_loader(name, self, origin=self._sources[name][0])  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """An ordinary module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's text."""
        path, source = self._sources[module.__name__]
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
