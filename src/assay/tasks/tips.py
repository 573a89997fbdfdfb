"""`tips`: persona × time slot × task list, for which a model gives short tips as JSON. The scenarios are in tips.yaml.

Parameters: `n_tips` (how many), `diversity` (ask for distinct ones), `longest` (characters a tip may have). The
first few scenarios have different levels of every factor; a spec's seed draws others, as for every task.
"""

from __future__ import annotations

from pathlib import Path

from assay.data.sources import BuiltIn
from assay.document import read_text
from assay.errors import ConfigError, Problem
from assay.tasks.base import Task
from assay.tasks.scenario import Options, made

_FILE = Path(__file__).with_name("tips.yaml")
SHA256 = "2eb247f848a342e8d56c9a33a7f7325b057b20f7d0f9607fb63d1836fbf84d48"
"""Of the file, so that its data are pinned as other tasks' are; changing it needs a new version in the file."""

_MOST = {"n_tips": 50, "longest": 10_000}


def task(options: Options | None = None) -> Task:
    """The task with these parameters. Raises ConfigError where one is unknown or cannot be meant."""
    for name, most in _MOST.items():
        value = (options or {}).get(name, 1)
        if isinstance(value, int) and not isinstance(value, bool) and not 1 <= value <= most:
            raise ConfigError(Problem(f"{value} is no value for it", key=f"options.{name}", allowed=f"1 to {most:,}"))
    return made(
        "tips",
        read_text(_FILE),
        "tips.yaml",
        BuiltIn("tasks/tips.yaml"),
        options,
        origin="written for assay",
        licence="Apache-2.0",
        sha256=SHA256,
    )
