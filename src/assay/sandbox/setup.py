"""What a worker is told when it starts: worked out once by the pool, outside the sandbox."""

from __future__ import annotations

from typing import Any

from assay.errors import MachineError
from assay.sandbox.execution import Limits, Settings, Tier
from assay.sandbox.kernel import LayerError
from assay.sandbox.macos import wrapped
from assay.sandbox.probes import best_tier, missing, run_probes
from assay.sandbox.view import PackageMissing, interpreter, plan_view

ENVIRONMENT = {
    "HOME": "/box/work",
    "TMPDIR": "/box/work",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "TZ": "UTC",
    # A worker has one thread when it forks; numerical libraries would start more on import.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""All that a worker's processes see: nothing of assay's own environment."""


def require(tier: Tier) -> None:
    """Make sure, by trying, that a tier can be had here.

    Raises MachineError that names the layer and the errno, and says what can be had instead: never less in silence.
    """
    if tier == "none":
        return
    try:
        probes = run_probes()
    except LayerError as error:
        raise MachineError(error.message, layer=f"sandbox: {error.layer}", errno=error.errno or None) from None
    if probe := missing(tier, probes):
        best = best_tier(probes)
        raise MachineError(
            f"the sandbox tier {tier!r} cannot be had on this machine: {probe.detail}",
            layer=f"sandbox: {probe.name}",
            errno=probe.errno or None,
            hint=f"the best tier here is {best!r}; to accept it: --sandbox {best} (see `assay doctor`)",
        )


def worker_settings(settings: Settings, limits: Limits, work: str) -> dict[str, Any]:
    """How to start a worker (`launch`, `environment`) and what it reads first (`worker`).

    `work` is the folder to stand in where the tier brings none of its own. Raises MachineError where an allowed
    package is not installed.
    """
    packages = tuple(dict.fromkeys((*settings.packages, *settings.test_packages)))
    try:
        view = plan_view(packages)
    except PackageMissing as absent:
        raise MachineError(
            f"{absent}, and solutions or tests are to import it",
            layer="sandbox: packages",
            hint=f"pip install {absent.name}",
        ) from None
    bounds = {name: getattr(limits, name) for name in ("memory_mb", "file_mb", "open_files", "processes")}
    worker = {
        "tier": settings.tier,
        "profile": settings.profile,
        "view": view.to_json(),
        "packages": list(settings.packages),
        "test_packages": list(settings.test_packages),
        "limits": bounds,
        "shared": settings.shared,
        "work": work,
    }
    python = interpreter()
    launch = wrapped(python, worker) if settings.tier == "macos" else [python]
    return {"launch": launch, "environment": ENVIRONMENT, "worker": worker}
