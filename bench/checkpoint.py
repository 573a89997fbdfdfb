"""`assay checkpoint inspect` on checkpoints of 70 GB and more, whose data are holes in their files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from statistics import median
from typing import Any

import figures
from process import ROOT, Cost, measure
from tools import Assay

WRITER = ROOT / "tests" / "support" / "checkpoints.py"
WHAT = {
    "safetensors": "1,283 tensors in 15 shards, 73 GB",
    "large.gguf": "723 tensors and 280,000 merges, 75 GB",
    "experts": "93,696 tensors in 163 shards, 688 GB",
}


def figure(options: figures.Options) -> dict[str, Any]:
    """The whole command, from start to exit: seconds and peak memory."""
    work = figures.WORK / "checkpoint"
    shutil.rmtree(work, ignore_errors=True)
    measure([sys.executable, WRITER, work / "large"], folder=work)
    command = Path(Assay().python).with_name("assay")
    costs: dict[str, list[Cost]] = {name: [] for name in WHAT}
    for _ in range(options.rounds):
        for name, each in costs.items():
            each.append(measure([command, "checkpoint", "inspect", work / "large" / name], folder=work / "log"))
            figures.say(f"{name}: {each[-1]}")
    shutil.rmtree(work)
    return {
        name: {
            "what": WHAT[name],
            "wall_s": round(median(cost.wall_s for cost in each), 3),
            "cpu_s": round(median(cost.cpu_s for cost in each), 3),
            "peak_mb": round(median(cost.peak_mb for cost in each), 1),
            "rounds": [cost.to_json() for cost in each],
        }
        for name, each in costs.items()
    }
