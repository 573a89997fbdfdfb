"""Where assay keeps what it can fetch again: `$ASSAY_HOME`, by default the platform's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder for cached data, models, wheels and responses. Not made until something is written."""
    named = os.environ.get("ASSAY_HOME")
    if named:
        return Path(named).expanduser().resolve()
    import platformdirs

    return Path(platformdirs.user_cache_dir("assay", appauthor=False))


def data_folder() -> Path | None:
    """The folder named by `ASSAY_DATA`, where data sets are looked for first; None where it is not set."""
    named = os.environ.get("ASSAY_DATA")
    return Path(named).expanduser().resolve() if named else None
