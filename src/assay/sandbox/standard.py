"""The standard types that cross as themselves: how each becomes a node and how it is rebuilt.

Only types whose equality is well known are here. A reader may raise whatever a malformed node makes it raise.
"""

from __future__ import annotations

import base64
import builtins
import math
import re
import sys
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime, time, timedelta, timezone

Node = Any
"""What JSON can say."""


class Packer(Protocol):
    """Turns values into nodes."""

    @property
    def export(self) -> Callable[[Any], Node]:
        """Turns a value that cannot be copied into a node."""

    def pack(self, value: Any, depth: int) -> Node:
        """A value as a node."""

    def items(self, values: Sequence[Any], depth: int) -> Node:
        """An array of items."""


class Unpacker(Protocol):
    """Turns nodes into values."""

    @property
    def resolve(self) -> Callable[[str, Any], Any]:
        """What a tag stands for that is none of these."""

    def unpack(self, node: Node) -> Any:
        """The value of a node."""

    def items(self, nodes: Node) -> list[Any]:
        """The values of an array."""

    def pairs(self, nodes: Node) -> Iterable[tuple[Any, Any]]:
        """The pairs of an array of keys and an array of values."""


def packed(packer: Packer, value: Any, depth: int) -> Node | None:
    """The node of a value whose type has no packer: of a module loaded late, a tuple with names, or numpy's."""
    kind = type(value)
    if late := _late(kind):
        return late(packer, value, depth)
    if _is_named_tuple(kind):
        return {"t": packer.items(tuple.__getitem__(value, slice(None)), depth)}
    if kind in _numpy_scalars():
        return {"n": [value.dtype.str, packer.pack(value.item(), depth)]}
    if kind is _numpy("ndarray") and value.dtype.kind in _NUMERIC:
        return {"a": [value.dtype.str, list(value.shape), _text(value.tobytes())]}
    return None


def _is_named_tuple(kind: type) -> bool:
    return type.__getattribute__(kind, "__bases__") == (tuple,) and "_field_defaults" in type.__getattribute__(
        kind, "__dict__"
    )


def _text(raw: bytes | bytearray) -> str:
    return base64.b64encode(raw).decode("ascii")


def _dict(packer: Packer, value: dict[Any, Any], depth: int) -> Node:
    return [packer.items(list(value), depth), packer.items(list(value.values()), depth)]


def _set(packer: Packer, value: set[Any], depth: int) -> Node:
    """A set's order of iteration depends on the size of its table: one that was copied (as from a literal) has a
    smaller one than one that has grown, and solutions do return `tuple(given)`.
    """
    items = list(value)
    tag = "s" if sys.getsizeof(value) >= sys.getsizeof(set(items)) else "copy"
    return {tag: packer.items(items, depth)}


def _deque(packer: Packer, value: deque[Any], depth: int) -> Node:
    return {"deque": [packer.items(list(value), depth), value.maxlen]}


def _defaultdict(packer: Packer, value: defaultdict[Any, Any], depth: int) -> Node:
    factory = value.default_factory
    name = TYPE_NAMES.get(factory) if type(factory) is type else None
    return {"defaultdict": [*_dict(packer, value, depth), name]}


def _time(packer: Packer, value: time | datetime, depth: int) -> Node:
    import datetime

    zone = value.tzinfo
    if zone is not None and type(zone) is not datetime.timezone:
        return packer.export(value)
    offset = None if zone is None else _days(zone.utcoffset(None))
    clock = [value.hour, value.minute, value.second, value.microsecond, value.fold, offset]
    if type(value) is datetime.datetime:
        return {"datetime": [value.year, value.month, value.day, *clock]}
    return {"time": clock}


def _days(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _type(packer: Packer, value: type, depth: int) -> Node:
    name = TYPE_NAMES.get(value)
    return packer.export(value) if name is None else {"type": name}


TYPES: dict[str, type] = {
    name: kind for name, kind in vars(builtins).items() if type(kind) is type and not name.startswith("_")
} | {kind.__name__: kind for kind in (type(None), Counter, OrderedDict, defaultdict, deque)}
TYPE_NAMES: dict[Any, str] = {kind: name for name, kind in TYPES.items()}
"""The standard types that cross as themselves, by name; builtin exceptions are among them."""

PACKERS: dict[type, Callable[[Packer, Any, int], Node]] = {
    tuple: lambda p, v, d: {"t": p.items(v, d)},
    set: _set,
    frozenset: lambda p, v, d: {"z": p.items(list(v), d)},
    dict: lambda p, v, d: {"d": _dict(p, v, d)},
    bytes: lambda p, v, d: {"b": _text(v)},
    bytearray: lambda p, v, d: {"ba": _text(v)},
    complex: lambda p, v, d: {"complex": [v.real, v.imag]},
    range: lambda p, v, d: {"range": p.items([v.start, v.stop, v.step], d)},
    slice: lambda p, v, d: {"slice": p.items([v.start, v.stop, v.step], d)},
    type(Ellipsis): lambda p, v, d: {"...": None},
    type(NotImplemented): lambda p, v, d: {"ni": None},
    Counter: lambda p, v, d: {"Counter": _dict(p, v, d)},
    OrderedDict: lambda p, v, d: {"OrderedDict": _dict(p, v, d)},
    defaultdict: _defaultdict,
    deque: _deque,
    type({}.keys()): lambda p, v, d: {"keys": p.items(list(v), d)},
    type({}.values()): lambda p, v, d: {"values": p.items(list(v), d)},
    type({}.items()): lambda p, v, d: {"items": p.items(list(v), d)},
    array: lambda p, v, d: {"array": [v.typecode, _text(v.tobytes())]},
    type: _type,
}

LATE: dict[tuple[str, str], Callable[[Packer, Any, int], Node]] = {
    ("decimal", "Decimal"): lambda p, v, d: {"Decimal": str(v)},
    ("fractions", "Fraction"): lambda p, v, d: {"Fraction": p.items([v.numerator, v.denominator], d)},
    ("datetime", "datetime"): _time,
    ("datetime", "time"): _time,
    ("datetime", "date"): lambda p, v, d: {"date": [v.year, v.month, v.day]},
    ("datetime", "timedelta"): lambda p, v, d: {"timedelta": _days(v)},
}
"""By module and name: modules that only solutions which use them should pay for."""


def _late(kind: type) -> Callable[[Packer, Any, int], Node] | None:
    module = type.__getattribute__(kind, "__dict__").get("__module__") or getattr(kind, "__module__", None)
    place = (module, type.__getattribute__(kind, "__name__"))
    if type(module) is not str or place not in LATE:
        return None
    return LATE[place] if getattr(sys.modules.get(module), place[1], None) is kind else None


# Reading


def _exact(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{kind.__name__} is expected")
    return value


def _integers(unpacker: Unpacker, body: Node, size: int) -> list[int]:
    values = unpacker.items(body)
    if len(values) != size or set(map(type, values)) != {int}:
        raise ValueError("integers are expected")
    return values


def _raw(body: Node) -> bytes:
    return base64.b64decode(_exact(str, body), validate=True)


def _read_int(unpacker: Unpacker, body: Node) -> int:
    return int(_exact(str, body), 16)


def _read_complex(unpacker: Unpacker, body: Node) -> complex:
    real, imaginary = body
    return complex(_exact(float, real), _exact(float, imaginary))


def _read_range(unpacker: Unpacker, body: Node) -> range:
    return range(*_integers(unpacker, body, 3))


def _read_slice(unpacker: Unpacker, body: Node) -> slice:
    start, stop, step = unpacker.items(body)
    return slice(start, stop, step)


def _read_defaultdict(unpacker: Unpacker, body: Node) -> defaultdict[Any, Any]:
    keys, values, name = body
    factory = None if name is None else TYPES[_exact(str, name)]
    return defaultdict(factory, unpacker.pairs([keys, values]))


def _read_deque(unpacker: Unpacker, body: Node) -> deque[Any]:
    items, most = body
    return deque(unpacker.items(items), None if most is None else _exact(int, most))


def _read_counter(unpacker: Unpacker, body: Node) -> Counter[Any]:
    return Counter(dict(unpacker.pairs(body)))


def _read_decimal(unpacker: Unpacker, body: Node) -> Any:
    from decimal import Decimal

    return Decimal(_exact(str, body))


def _read_fraction(unpacker: Unpacker, body: Node) -> Any:
    from fractions import Fraction

    return Fraction(*_integers(unpacker, body, 2))


def _read_date(unpacker: Unpacker, body: Node) -> Any:
    from datetime import date

    return date(*_integers(unpacker, body, 3))


def _read_timedelta(unpacker: Unpacker, body: Node) -> Any:
    from datetime import timedelta

    return timedelta(*_integers(unpacker, body, 3))


def _read_zone(body: Node) -> timezone | None:
    from datetime import timedelta, timezone

    return None if body is None else timezone(timedelta(*body))


def _read_datetime(unpacker: Unpacker, body: Node) -> datetime:
    from datetime import datetime

    *parts, fold, zone = body
    return datetime(*_integers(unpacker, parts, 7), fold=fold, tzinfo=_read_zone(zone))  # type: ignore[misc,arg-type]


def _read_time(unpacker: Unpacker, body: Node) -> time:
    from datetime import time

    *parts, fold, zone = body
    return time(*_integers(unpacker, parts, 4), fold=fold, tzinfo=_read_zone(zone))  # type: ignore[misc,arg-type]


def _read_array(unpacker: Unpacker, body: Node) -> array[Any]:
    code, raw = body
    return array(_exact(str, code), _raw(raw))


def _read_views(unpacker: Unpacker, body: Node) -> Any:
    return dict.fromkeys(unpacker.items(body)).keys()


def _read_scalar(unpacker: Unpacker, body: Node) -> Any:
    """numpy's own where the reader has numpy, else Python's number, which equals it."""
    kind, node = body
    value = unpacker.unpack(node)
    if not _DTYPE.fullmatch(_exact(str, kind)) or type(value) not in (bool, int, float, complex):
        raise ValueError("a number is expected")
    numpy = sys.modules.get("numpy")
    return value if numpy is None else numpy.dtype(kind).type(value)


def _read_ndarray(unpacker: Unpacker, body: Node) -> Any:
    kind, shape, raw = body
    if not _DTYPE.fullmatch(_exact(str, kind)):
        raise ValueError("an array of numbers is expected")
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return unpacker.resolve("a", None)
    flat = numpy.frombuffer(_raw(raw), dtype=kind)
    if flat.dtype.kind == "b" and flat.size and flat.view("u1").max() > 1:
        raise ValueError("a boolean is 0 or 1")
    if any(size < 0 for size in _integers(unpacker, shape, len(shape))) or math.prod(shape) != flat.size:
        raise ValueError("an array and its shape differ")
    return flat.reshape(shape).copy()


READERS: dict[str, Callable[[Unpacker, Any], Any]] = {
    "i": _read_int,
    "t": lambda u, b: tuple(u.items(b)),
    "s": lambda u, b: set(u.items(b)),
    "copy": lambda u, b: set(u.items(b)).copy(),
    "z": lambda u, b: frozenset(u.items(b)),
    "d": lambda u, b: dict(u.pairs(b)),
    "b": lambda u, b: _raw(b),
    "ba": lambda u, b: bytearray(_raw(b)),
    "complex": _read_complex,
    "range": _read_range,
    "slice": _read_slice,
    "...": lambda u, b: Ellipsis,
    "ni": lambda u, b: NotImplemented,
    "Counter": _read_counter,
    "OrderedDict": lambda u, b: OrderedDict(u.pairs(b)),
    "defaultdict": _read_defaultdict,
    "deque": _read_deque,
    "keys": _read_views,
    "values": lambda u, b: dict(enumerate(u.items(b))).values(),
    "items": lambda u, b: dict(u.items(b)).items(),
    "Decimal": _read_decimal,
    "Fraction": _read_fraction,
    "array": _read_array,
    "datetime": _read_datetime,
    "time": _read_time,
    "date": _read_date,
    "timedelta": _read_timedelta,
    "type": lambda u, b: TYPES[_exact(str, b)],
    "n": _read_scalar,
    "a": _read_ndarray,
}


# numpy's values, only where numpy is loaded

_DTYPE = re.compile(r"[<>|=][biufc]\d{1,2}")
_NUMERIC = "biufc"
_SCALARS = (
    "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 longlong ulonglong "
    "float16 float32 float64 complex64 complex128"
)
_scalars: frozenset[type] = frozenset()


def _numpy(name: str) -> Any:
    return getattr(sys.modules.get("numpy"), name, None)


def _numpy_scalars() -> frozenset[type]:
    global _scalars
    if not _scalars and "numpy" in sys.modules:
        _scalars = frozenset(_numpy(name) for name in _SCALARS.split())
    return _scalars
