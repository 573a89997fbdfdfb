"""A look at some numbers of a checkpoint: scales that are 0, infinite or not a number spoil all that they scale.

Read are at most `BUDGET` bytes in all, evenly spread: at least a block a tensor, the same ones every time. What is
looked at: scales in tensors of their own (safetensors), the half-precision scales inside blocks (GGUF), and the values
of tensors that are not quantized, or are in 8-bit floating point. Of packed integers any pattern of bits is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from assay.errors import ModelUnavailable
from assay.gates.checkpoint import Sampled
from assay.gates.layers import SCALES
from assay.models.gguf_header import TYPES
from assay.release.checkpoint.record import Checkpoint, Tensor
from assay.release.checkpoint.small import inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUDGET = 64 << 20
_PIECES = 8
_MOST, _LEAST = 64 << 10, 512
_HALVES: Mapping[str, tuple[int, ...]] = {
    "Q4_0": (0,), "Q4_1": (0,), "Q5_0": (0,), "Q5_1": (0,), "Q8_0": (0,), "Q2_K": (80,), "Q3_K": (108,), "Q4_K": (0,),
    "Q5_K": (0,), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,), "IQ2_XXS": (0,), "IQ2_XS": (0,), "IQ3_XXS": (0,),
    "IQ2_S": (0,), "IQ3_S": (0,), "IQ1_S": (0,), "TQ1_0": (52,), "TQ2_0": (64,),
}  # fmt: skip
"""Where the block's scale lies, an F16 (ggml-common.h, the fields `d` of `block_*`)."""
_MINIMA: Mapping[str, int] = {"Q4_1": 2, "Q5_1": 2, "Q2_K": 82, "Q4_K": 2, "Q5_K": 2}
"""Where its minimum lies, which may be 0 and must be finite."""


def sampled(found: Checkpoint) -> Iterator[Sampled]:
    """What was seen in each tensor that has numbers to look at. Raises ModelUnavailable where a file cannot be read."""
    chosen = [one for one in found.tensors if one.bytes and _reader(one) is not None]
    most = max(_LEAST, min(_MOST, BUDGET // max(len(chosen), 1)))
    by_file: dict[str, list[Tensor]] = {}
    for one in chosen:
        by_file.setdefault(one.file, []).append(one)
    for name, tensors in by_file.items():
        path = inside(found.path, found.path / name) if found.path.is_dir() else found.path
        yield from _of_file(path, sorted(tensors, key=lambda one: one.offset), most)


def _of_file(path: Path, tensors: list[Tensor], most: int) -> Iterator[Sampled]:
    try:
        with path.open("rb", buffering=0) as file:
            for one in tensors:
                yield _looked(file, one, most)
    except OSError as error:
        raise ModelUnavailable(f"{path}: {error.strerror}", layer="files", errno=error.errno) from None


def _looked(file: BinaryIO, tensor: Tensor, most: int) -> Sampled:
    read = _reader(tensor)
    scales = tensor.part in SCALES or tensor.dtype in _HALVES or tensor.dtype == "MXFP4"
    if read is None:
        return Sampled(tensor.name, 0, 0, 0, scales)
    data = b"".join(_pieces(file, tensor, _unit(tensor), most))
    looked, zero, broken = read(data)
    return Sampled(tensor.name, looked, zero, broken, scales)


def _unit(tensor: Tensor) -> int:
    """Bytes that belong together: a block, or a number."""
    block = {name: size for name, _, size in TYPES.values()}
    return block.get(tensor.dtype, _WIDTHS.get(tensor.dtype, 1))


def _pieces(file: BinaryIO, tensor: Tensor, unit: int, most: int) -> Iterator[bytes]:
    """Whole units, from evenly spaced places; all of a small tensor."""
    units = (tensor.bytes or 0) // unit
    each = max(most // _PIECES // unit, 1)
    if units <= each * _PIECES:
        starts, each = [0], units
    else:
        starts = [(units - each) * place // (_PIECES - 1) for place in range(_PIECES)]
    for start in starts:
        file.seek(tensor.offset + start * unit)
        data = file.read(each * unit)
        yield data[: len(data) // unit * unit]


Counts = tuple[int, int, int]
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def _reader(tensor: Tensor) -> Callable[[bytes], Counts] | None:
    """What counts the numbers, the zeros and the broken ones in some units; None where there is nothing to look at."""
    kind = tensor.dtype
    if kind in _HALVES:
        return lambda data: _blocks(data, kind)
    if kind in ("MXFP4", "F8_E8M0"):
        return lambda data: _exponents(data, _unit(tensor))
    if kind in ("F8_E4M3", "F8_E5M2"):
        return lambda data: _eight_bits(data, kind)
    if kind == "BF16":
        return _brain
    return (lambda data: _floats(data, kind)) if kind in _WIDTHS else None


def _blocks(data: bytes, kind: str) -> Counts:
    import numpy as np

    size = next(size for name, _, size in TYPES.values() if name == kind)
    blocks = np.frombuffer(data, dtype=np.uint8).reshape(-1, size)
    scales = np.concatenate([_halves(blocks, at) for at in _HALVES[kind]])
    broken = ~np.isfinite(scales)
    if kind in _MINIMA:
        broken |= ~np.isfinite(_halves(blocks, _MINIMA[kind]))
    return len(scales), int(np.count_nonzero(scales == 0)), int(np.count_nonzero(broken & (scales != 0)))


def _halves(blocks: NDArray[Any], at: int) -> NDArray[Any]:
    import numpy as np

    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2")[:, 0]


def _exponents(data: bytes, size: int) -> Counts:
    """E8M0: a power of two, 255 is no number. There is no 0."""
    import numpy as np

    found = np.frombuffer(data, dtype=np.uint8).reshape(-1, size)[:, 0]
    return len(found), 0, int(np.count_nonzero(found == 255))


def _eight_bits(data: bytes, kind: str) -> Counts:
    """E4M3 has no infinity and one NaN; in E5M2 the largest exponent is either."""
    import numpy as np

    found = np.frombuffer(data, dtype=np.uint8) & 0x7F
    broken = found == 0x7F if kind == "F8_E4M3" else found >= 0x7C
    return len(found), int(np.count_nonzero(found == 0)), int(np.count_nonzero(broken))


def _brain(data: bytes) -> Counts:
    """BF16: the upper half of an F32."""
    import numpy as np

    found = np.frombuffer(data, dtype="<u2") & 0x7FFF
    return len(found), int(np.count_nonzero(found == 0)), int(np.count_nonzero(found >= 0x7F80))


def _floats(data: bytes, kind: str) -> Counts:
    import numpy as np

    found = np.frombuffer(data, dtype=f"<f{_WIDTHS[kind]}")
    return len(found), int(np.count_nonzero(found == 0)), int(np.count_nonzero(~np.isfinite(found)))
