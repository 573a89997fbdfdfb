"""Logging after an evaluation, which must neither fail nor wait because of a server: bounded, and told if not done."""

from __future__ import annotations

import threading
from pathlib import Path

from assay.errors import AssayError, MissingExtra
from assay.tracking import memory
from assay.tracking.client import HASTY
from assay.tracking.memory import Tracked
from assay.tracking.push import Progress, Pushed, push
from assay.tracking.target import Target

SECONDS = 60.0
"""How long an evaluation waits for its logging at most."""


def check_installed() -> None:
    """Raise MissingExtra where MLflow's client is not here: better before an evaluation than after."""
    from importlib.util import find_spec

    if find_spec("mlflow") is None:
        raise MissingExtra("mlflow", "mlflow")


def logged(path: Path, target: Target, progress: Progress, seconds: float = SECONDS) -> Pushed | str:
    """Log a sealed run for so long at most; returns why not where it is not logged whole. Never raises.

    The work is done by a thread that nobody waits for any longer than that: what it has logged by then stays, and
    `assay track` goes on from there.
    """
    found: list[Pushed | str] = []

    def work() -> None:
        try:
            found.append(push(path, target, patience=HASTY, progress=progress))
        except AssayError as error:
            found.append(str(error))
        except Exception as error:  # a run that is finished stands, whatever its logging came to
            found.append(f"internal error: {type(error).__name__}: {error}")

    try:
        memory.remember(Tracked(path, target, why="not logged yet"))
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(seconds)
    except KeyboardInterrupt:
        return "interrupted"
    except AssayError as error:
        return str(error)
    return found[0] if found else f"not done after {seconds:.0f} s"
