"""The report and the card of a release: where they are, and written where they are not sealed yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.errors import ConfigError
from assay.release import card, report
from assay.release.contents import read
from assay.release.folder import ReleaseFolder
from assay.release.seal import intact

SCHEMA = "assay.release_report.v1"


def pages(folder: ReleaseFolder, out: Path | None = None) -> dict[str, Any]:
    """The document `assay.release_report.v1`. `out`: where to write the report besides, outside of the release.

    Raises ConfigError where nothing was decided or `out` is inside, EvidenceError where a sealed release was changed.
    """
    decision = read(folder).decision
    if out is not None and out.resolve().is_relative_to(folder.path.resolve()):
        raise ConfigError(f"--out {out}: inside the release, whose files are sealed", hint="name a file outside of it")
    sealed = folder.manifest.is_file()
    if sealed:
        intact(folder)
    else:
        report.write(folder.path)
        card.write(folder.path)
    page = folder.path / report.PAGE if out is None else report.write(folder.path, out)
    paths = {"report": page, "card": folder.path / card.CARD}
    if not page.is_file():
        raise ConfigError(f"{folder.path}: sealed without {page.name}", hint="--out FILE writes it to another file")
    value = {"schema": SCHEMA, "release": decision["release"], "path": str(folder.path), "sealed": sealed}
    value |= {key: decision[key] for key in ("verdict", "publish", "recommended", "failure_class")}
    return {**value, **{name: str(path) if path.is_file() else None for name, path in paths.items()}}
