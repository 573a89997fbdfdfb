"""What this machine can do: each probe tries the act itself rather than asking whether it should work."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay.errors import AssayError
from assay.home import data_folder, home

Status = Literal["ok", "missing", "failed"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What was tried, how it went (`missing`: optional and not here), and how to fix it."""

    name: str
    status: Status
    detail: str
    fix: str | None = None


def probe_all() -> Iterator[Probe]:
    """Every probe, in the order of what depends on what. None of them raises."""
    for probe in _PROBES:
        try:
            yield from probe()
        except Exception as error:  # a probe that breaks is a finding, not a crash
            yield Probe(probe.__name__.strip("_"), "failed", f"{type(error).__name__}: {error}")


def _python() -> Iterator[Probe]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Probe("python", "ok", f"{version} ({sys.executable})")


def _cores() -> Iterator[Probe]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Probe("cores", "ok", f"{usable} usable of {os.cpu_count()}")


def _memory() -> Iterator[Probe]:
    from assay.models.memory import available

    free = available()
    if free is None:
        yield Probe("memory", "missing", "free memory cannot be read on this system")
    else:
        yield Probe("memory", "ok", f"{free / 1e9:.1f} GB free")


def _folders() -> Iterator[Probe]:
    for name, path in (("cache folder", home()), ("runs folder", Path("runs"))):
        existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        try:
            with tempfile.TemporaryFile(dir=existing) as file:
                file.write(b"assay")
                file.flush()
                os.fsync(file.fileno())
            yield Probe(name, "ok", f"{path} (writable)")
        except OSError as error:
            fix = "set ASSAY_HOME to a writable folder" if name == "cache folder" else "run from a writable folder"
            yield Probe(name, "failed", f"{existing}: {error.strerror} (errno {error.errno})", fix)


_EXTRAS = (
    ("xllamacpp", "local", "GGUF models in-process"),
    ("gguf", "local", "GGUF files"),
    ("torch", "hf", "PyTorch"),
    ("transformers", "hf", "Hugging Face models"),
    ("mlflow", "mlflow", "tracking"),
    ("ray", "ray", "more than one machine"),
    ("nicegui", "serve", "web pages"),
)


def _packages() -> Iterator[Probe]:
    for package, extra, purpose in _EXTRAS:
        try:
            module = importlib.import_module(package)
            version = getattr(module, "__version__", "") or ""
            yield Probe(package, "ok", f"{version} imports ({purpose})".strip())
        except ImportError as error:
            if error.name == package:
                yield Probe(package, "missing", f"not installed ({purpose})", f"pip install 'assay[{extra}]'")
            else:
                yield Probe(package, "failed", f"does not import: {error}", f"pip install -U 'assay[{extra}]'")


def _data() -> Iterator[Probe]:
    from assay.data.dataset import local_source
    from assay.tasks.registry import find, names

    folder = data_folder()
    here = "set" if folder else "not set (optional)"
    yield Probe("ASSAY_DATA", "ok" if folder else "missing", str(folder) if folder else here)
    for name in names():
        task = find(name)
        try:
            found = local_source(name, task.sources)
        except AssayError as error:
            yield Probe(f"data {name}", "failed", error.message, error.hint)
            continue
        if found:
            yield Probe(f"data {name}", "ok", found)
        else:
            wheres = " or ".join(str(source.where) for source in task.sources)
            yield Probe(f"data {name}", "missing", f"not here yet; fetched when asked for: {wheres}")


def _default_model() -> Iterator[Probe]:
    from assay.models.named import SMOLLM2_135M

    path = SMOLLM2_135M.cached()
    if path:
        yield Probe("smollm2-135m", "ok", str(path))
    else:
        yield Probe("smollm2-135m", "missing", "not here yet; fetched when asked for (93 MB)")


def _sandbox() -> Iterator[Probe]:
    from assay.sandbox.kernel import LayerError
    from assay.sandbox.probes import best_tier, run_probes

    try:
        probes = run_probes()
    except LayerError as error:
        yield Probe("sandbox", "missing", error.message, "code tasks can still generate: code_exec_policy: disabled")
        return
    for probe in probes:
        errno_ = f" (errno {probe.errno})" if probe.errno else ""
        yield Probe(f"sandbox {probe.name}", "ok" if probe.ok else "missing", probe.detail + errno_)
    best = best_tier(probes)
    if best == "full":
        yield Probe("sandbox", "ok", "tier full: namespaces, Landlock and seccomp")
    else:
        weaker = f"the best tier here is {best}; code tasks ask for full unless told otherwise"
        yield Probe("sandbox", "missing", weaker, "see docs/sandbox.md for what each layer needs")


_PROBES: tuple[Callable[[], Iterator[Probe]], ...] = (
    _python,
    _cores,
    _memory,
    _folders,
    _packages,
    _default_model,
    _data,
    _sandbox,
)
