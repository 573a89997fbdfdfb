"""What a server's log tells: lines that known patterns fit, as typed findings.

Patterns only add findings. A log without any is no proof of health, and no verdict rests on the absence of one; the
class of a finding is that of its row in the table, never guessed from words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.errors import FailureClass
from assay.gates.health_view import Finding, Severity

MOST_BYTES = 32 << 20
"""Of a longer log, the first and the last half of this are looked at."""
_LONGEST = 2000
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Pattern:
    """One row: a name, what a line looks like, what kind of failure it is, whether it blocks, and who writes it."""

    name: str
    regex: str
    failure_class: FailureClass
    severity: Severity
    source: str


_HEALTH, _SYSTEMIC, _MODEL = (
    FailureClass.DEPLOYMENT_HEALTH_FAILED,
    FailureClass.SYSTEMIC,
    FailureClass.MODEL_UNSUPPORTED,
)

PATTERNS = (
    Pattern("cuda_oom", r"torch\.(?:cuda\.)?OutOfMemoryError|CUDA out of memory", _SYSTEMIC, "blocking", "PyTorch"),
    Pattern("oom_killed", r"Out of memory: Killed process|oom-kill:", _SYSTEMIC, "blocking", "Linux"),
    Pattern(
        "host_oom", r"std::bad_alloc|DefaultCPUAllocator: .*allocate memory|^MemoryError", _SYSTEMIC, "blocking", "C++"
    ),
    Pattern(
        "ggml_alloc",
        r"failed to allocate (?:\w+ )?buffer|unable to allocate \w+ buffer|ggml_backend_\w+: .*failed to allocate",
        _SYSTEMIC,
        "blocking",
        "llama.cpp",
    ),
    Pattern(
        "cuda_error",
        r"CUDA error|CUBLAS_STATUS_\w+|device-side assert triggered|NCCL error",
        _HEALTH,
        "blocking",
        "CUDA",
    ),
    Pattern("ggml_assert", r"GGML_ASSERT|GGML_ABORT", _HEALTH, "blocking", "llama.cpp"),
    Pattern("segfault", r"Segmentation fault|Fatal Python error", _HEALTH, "blocking", "libc, CPython"),
    Pattern(
        "missing_tensor",
        r"missing tensor|tensor '[^']+' (?:not found|has wrong shape)",
        _MODEL,
        "blocking",
        "llama.cpp",
    ),
    Pattern("wrong_tensors", r"wrong number of tensors; expected", _MODEL, "blocking", "llama.cpp"),
    Pattern(
        "bad_data",
        r"tensor '[^']+' has invalid data|found (?:nan|inf) value at block",
        _HEALTH,
        "blocking",
        "llama.cpp",
    ),
    Pattern("bad_model", r"error loading model|failed to load model", _MODEL, "blocking", "llama.cpp"),
    Pattern("architecture", r"unknown model architecture", _MODEL, "blocking", "llama.cpp"),
    Pattern(
        "architecture_hf",
        r"does not recognize this architecture|Model architectures .* are not supported",
        _MODEL,
        "blocking",
        "transformers, vLLM",
    ),
    Pattern(
        "newly_initialized",
        r"Some weights of .+ were not initialized|(?:newly|randomly) initialized|\|\s*MISSING\s*\|",
        _HEALTH,
        "blocking",
        "transformers",
    ),
    Pattern(
        "scales_unused",
        r"(?:weight_scale|weight_packed|input_scale|scale_inv|weight_zero_point)\w*\s*\|\s*UNEXPECTED",
        _HEALTH,
        "blocking",
        "transformers",
    ),
    Pattern(
        "weights_unused",
        r"Some weights of the model checkpoint .* were not used|\|\s*UNEXPECTED\s*\|",
        _HEALTH,
        "note",
        "transformers",
    ),
    Pattern(
        "size_mismatch",
        r"size mismatch for |You set `ignore_mismatched_sizes`|\|\s*MISMATCH\s*\|",
        _HEALTH,
        "blocking",
        "transformers",
    ),
    Pattern(
        "quantization_unknown",
        r"Unknown quantization type|[Uu]nknown quant(?:ization)?[_ ]method|Unknown quantization method",
        _MODEL,
        "blocking",
        "transformers, vLLM",
    ),
    Pattern(
        "quantization_skipped",
        r"quantization type .* is not supported|Skipping (?:the )?quantization",
        _HEALTH,
        "blocking",
        "transformers",
    ),
    Pattern(
        "engine_dead",
        r"EngineDeadError|Engine core (?:proc \S+ )?died|EngineCore (?:failed|encountered)",
        _HEALTH,
        "blocking",
        "vLLM",
    ),
    Pattern("port_taken", r"[Aa]ddress already in use|couldn't bind", _SYSTEMIC, "blocking", "the operating system"),
    Pattern(
        "pre_tokenizer",
        r"missing pre-tokenizer type|GENERATION QUALITY WILL BE DEGRADED",
        _HEALTH,
        "blocking",
        "llama.cpp",
    ),
    Pattern(
        "traceback", r"^Traceback \(most recent call last\)|Exception in ASGI application", _HEALTH, "note", "Python"
    ),
    Pattern("error", r"^\S+ E |^ERROR\b|\bERROR\b.*:", _HEALTH, "note", "any"),
)

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_COMPILED = tuple((pattern, re.compile(pattern.regex)) for pattern in PATTERNS)


def scan(log: Path, start: int = 0) -> tuple[tuple[Finding, ...], int, int]:
    """The findings in a log from byte `start` on, the bytes looked at, and the bytes there were.

    One finding a pattern, with its first line. Raises OSError where the log cannot be read.
    """
    found: dict[str, Finding] = {}
    looked = 0
    for number, line, size in _lines(log, start):
        looked += size
        for pattern, regex in _COMPILED:
            if regex.search(line):
                found[pattern.name] = _more(found.get(pattern.name), pattern, number, line)
                break
    return tuple(found[name] for name in sorted(found)), looked, max(0, log.stat().st_size - start)


def _more(before: Finding | None, pattern: Pattern, number: int, line: str) -> Finding:
    if before is None:
        shown = "".join(mark if mark.isprintable() else " " for mark in line).strip()[:_SHOWN]
        return Finding(pattern.name, pattern.failure_class, pattern.severity, number, 1, shown)
    return Finding(before.pattern, before.failure_class, before.severity, before.line, before.count + 1, before.excerpt)


def _lines(log: Path, start: int) -> Iterator[tuple[int, str, int]]:
    """Lines by number from 1, each cut at 2,000 characters, with the bytes that they took."""
    size = log.stat().st_size - start
    with log.open("rb") as file:
        file.seek(start)
        left = MOST_BYTES
        number = 0
        while left > 0 and (raw := file.readline(1 << 16)):
            number += 1
            left -= len(raw)
            yield number, _COLOURS.sub("", raw[:_LONGEST].decode(errors="replace")).rstrip("\r\n"), len(raw)
            if size > MOST_BYTES and left <= MOST_BYTES // 2 < left + len(raw):
                file.seek(start + size - left)
                file.readline(1 << 16)
