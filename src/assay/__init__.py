"""assay decides, with evidence, whether a language model, a prompt or a quantized checkpoint is fit to ship.

The doors, for scripts and notebooks (the commands are built on the same two):

    run = assay.evaluate("examples/quickstart.yaml")
    run = assay.open("runs/quickstart-1a2b3c4d")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assay.version import __version__

__all__ = ["Run", "__version__", "evaluate", "import_run", "open"]

if TYPE_CHECKING:
    from assay.importing import import_run
    from assay.session import Run, evaluate, open


def __getattr__(name: str) -> Any:
    """Load the engine when first asked for, so that `import assay` and `assay --help` stay quick."""
    if name in {"Run", "evaluate", "open"}:
        from assay import session

        return getattr(session, name)
    if name == "import_run":
        from assay.importing import import_run

        return import_run
    raise AttributeError(f"module 'assay' has no attribute {name!r}")
