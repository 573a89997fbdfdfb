"""What solutions import most, loaded once and shared by all: before anything else of this package is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

PRELOADED = (
    "bisect",
    "collections.abc",
    "copy",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
    "random",
    "re",
    "string",
    "typing",
)


def preload() -> None:
    """Import the modules, and give `random` its one state.

    On import `random` asks to be seeded anew in every forked child, which costs each of them and would make their
    runs differ; here it must not.
    """
    register = os.register_at_fork
    os.register_at_fork = lambda **_: None
    try:
        for name in PRELOADED:
            __import__(name)
    finally:
        os.register_at_fork = register
    random: Any = sys.modules["random"]
    random.seed(0)


def load(packages: Iterable[str]) -> None:
    """Import what solutions or tests may use beyond the standard library, once for all of them, and seed numpy."""
    for name in packages:
        __import__(name)
    if "numpy" in sys.modules:
        __import__("numpy.random")  # numpy loads it late, and then from a seed of its own
        numpy_random: Any = sys.modules["numpy.random"]
        numpy_random.seed(0)
