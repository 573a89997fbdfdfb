from __future__ import annotations

import contextlib
import json
import math
import sys
from array import array
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.sandbox import wire

Point = namedtuple("Point", "x y")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=1 << 62, max_value=1 << 200)
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.just(UTC) | st.none())
    | st.timedeltas()
    | st.sampled_from([..., NotImplemented, int, ValueError, type(None), range(3, 10**30, 7), slice(1, None, 2)])
)
HASHABLE = st.recursive(SCALARS.filter(lambda v: type(v) is not slice), lambda inner: st.tuples(inner, inner))
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(HASHABLE, inner)
        | st.sets(HASHABLE)
        | st.frozensets(HASHABLE)
        | st.builds(deque, st.lists(inner), st.none() | st.integers(0, 5))
        | st.builds(OrderedDict, st.dictionaries(HASHABLE, inner))
        | st.builds(bytearray, st.binary())
    ),
    max_leaves=30,
)


def crossed(value: Any) -> Any:
    return wire.decode(wire.encode(value))


def alike(left: Any, right: Any) -> bool:
    """The same value of the same exact types, where nan is nan and -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    if type(left) in (list, tuple, deque):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, dict):
        return alike(list(left.items()), list(right.items()))
    if type(left) in (set, frozenset):
        return sorted(map(repr, left)) == sorted(map(repr, right))
    return repr(left) == repr(right)


@given(VALUES)
def test_a_value_crosses_as_what_it_is(value: Any) -> None:
    assert alike(crossed(value), value)


@pytest.mark.parametrize(
    "value",
    [
        -0.0,
        [math.nan, math.inf, -math.inf],
        1 << 63,
        -(1 << 63) - 1,
        10**5000,
        [1, 2, 1 << 70],
        "\ud83d\ude00",
        {1: "a", (2,): [3], None: {}},
        Counter("abcab"),
        defaultdict(list, {1: [2]}),
        deque([1, 2, 3], 3),
        array("d", [1.5, 2.5]),
        time(1, 2, 3, 4, tzinfo=timezone(timedelta(hours=-3, seconds=1))),
        datetime(2020, 1, 2, fold=1),
        date(1, 1, 1),
        Decimal("NaN"),
        Decimal("1.500"),
        Fraction(-1, 3),
        {1: 2, 3: 4}.keys(),
        {1: 2, 3: 4}.items(),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_standard_types_are_rebuilt(value: Any) -> None:
    sys.set_int_max_str_digits(0)
    try:
        assert alike(crossed(value), value)
    finally:
        sys.set_int_max_str_digits(4300)


def test_named_tuples_cross_as_tuples_and_factories_by_name() -> None:
    assert alike(crossed([Point(1, 2)]), [(1, 2)])
    assert crossed(defaultdict(list)).default_factory is list
    assert crossed(defaultdict(lambda: 1)).default_factory is None


def test_a_set_is_iterated_in_the_same_order() -> None:
    given_, grown = {12, 13, 14, 15, 16}, set()
    for number in (12, 13, 14, 15, 16):
        grown.add(number)
    assert list(given_) != list(grown)
    assert list(crossed(given_)) == list(given_)
    assert list(crossed(grown)) == list(grown)


def test_numpy_values_are_rebuilt_where_numpy_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = pytest.importorskip("numpy")
    values = [numpy.int64(3), numpy.float32(0.5), numpy.bool_(True), numpy.complex128(1j)]
    assert alike(crossed(values), values)
    square = numpy.arange(6.0).reshape(2, 3)
    assert crossed(square).dtype == square.dtype
    assert crossed(square).tolist() == square.tolist()
    scalar, matrix = wire.encode(values[0]), wire.encode(square)
    monkeypatch.delitem(sys.modules, "numpy")
    assert type(wire.decode(scalar)) is int
    with pytest.raises(wire.WireError):
        wire.decode(matrix)


@pytest.mark.parametrize("make", [lambda v: [v], lambda v: (v,), lambda v: {1: v}], ids=["list", "tuple", "dict"])
def test_deep_values_cross_and_deeper_ones_do_not(make: Any) -> None:
    def nested(depth: int) -> Any:
        value: Any = []
        for _ in range(depth):
            value = make(value)
        return value

    value, depth = crossed(nested(950)), 0
    while value:
        value, depth = next(iter(value.values() if type(value) is dict else value)), depth + 1
    assert depth == 950
    with pytest.raises(wire.Unsendable):
        wire.encode(nested(100_000))


def test_cyclic_doubling_and_long_values_are_unsendable() -> None:
    cyclic: list[Any] = []
    cyclic += [cyclic, cyclic]
    doubling: list[Any] = []
    for _ in range(60):
        doubling = [doubling, doubling]
    for value in (cyclic, doubling, "x" * (33 << 20), [0] * 4_000_001):
        with pytest.raises(wire.Unsendable):
            wire.encode(value)


def test_brackets_in_text_are_no_containers() -> None:
    text = '["\\{' * 1_000_000
    assert crossed([text]) == [text]
    with pytest.raises(wire.WireError):
        wire.decode(b"[" + b"[]," * 2_000_000 + b"1]")


def test_the_programs_own_recursion_limit_is_kept_and_does_not_matter() -> None:
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(1 << 30)
        with pytest.raises(wire.WireError):
            wire.decode(b"[" * 1_000_000)
        assert sys.getrecursionlimit() == 1 << 30
    finally:
        sys.setrecursionlimit(limit)


class Int(int):
    pass


class Text(str):
    pass


class Items(list):  # type: ignore[type-arg]
    pass


class Table(dict):  # type: ignore[type-arg]
    pass


class Plain:
    pass


@pytest.mark.parametrize("value", [Int(1), Text("a"), Items([1]), Table({1: 2}), Plain(), Plain, len, iter([])])
def test_nothing_but_exact_types_is_copied(value: Any) -> None:
    with pytest.raises(wire.Unsendable):
        wire.encode([value])
    assert json.loads(wire.encode([value], lambda _: {"mine": 1})) == [{"mine": 1}]


HOSTILE = [
    b"",
    b"nul",
    b"\xff\xfe",
    b"[1",
    b"[" * 100_000,
    b'{"t":' * 100_000,
    b'{"t":[' * 5_000 + b"]}" * 5_000,
    b"1" * 5_000,
    b'{"t":[1],"s":[2]}',
    b"{}",
    b'{"nonsense":1}',
    b'{"t":1}',
    b'{"s":[[1]]}',
    b'{"d":[[[1]],[2]]}',
    b'{"d":[[1],[2,3]]}',
    b'{"d":1}',
    b'{"i":"zz"}',
    b'{"i":5}',
    b'{"b":"!"}',
    b'{"complex":["1","2"]}',
    b'{"range":[1,2,0]}',
    b'{"range":[1,2]}',
    b'{"Fraction":[1,0]}',
    b'{"Decimal":"x"}',
    b'{"type":"eval"}',
    b'{"type":["int"]}',
    b'{"defaultdict":[[],[],"eval"]}',
    b'{"deque":[[1],"3"]}',
    b'{"datetime":[2020,13,1,0,0,0,0,0,null]}',
    b'{"datetime":[2020,1,1,0,0,0,0,0,["a"]]}',
    b'{"array":["d","AA=="]}',
    b'{"array":["zz",""]}',
    b'{"n":["<i8",[1]]}',
    b'{"n":["O","a"]}',
    b'{"a":["<f8",[2],"AAAA"]}',
    b'{"a":["<f8",[-1,-1],"AAAAAAAAAAA="]}',
    b'{"a":["O",[1],"AAAAAAAAAAA="]}',
    b'{"a":["|b1",[1],"Ag=="]}',
    b'{"h":[1,"f","f"]}',
]


@pytest.mark.parametrize("body", HOSTILE, ids=[str(body[:30]) for body in HOSTILE])
def test_what_is_malformed_is_one_error(body: bytes) -> None:
    pytest.importorskip("numpy")
    with pytest.raises(wire.WireError):
        wire.decode(body)


NODES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=9)
        | st.dictionaries(st.sampled_from([*wire.READERS, "h", "c"]), inner, min_size=1, max_size=2)
    ),
    max_leaves=20,
)


@given(NODES)
def test_whatever_arrives_is_a_value_or_that_error(node: Any) -> None:
    with contextlib.suppress(wire.WireError):
        wire.decode(json.dumps(node).encode())


@given(st.binary(max_size=60))
def test_noise_is_a_value_or_that_error(body: bytes) -> None:
    with contextlib.suppress(wire.WireError):
        wire.decode(body)


def test_an_opaque_value_equals_nothing_and_cannot_be_used() -> None:
    opaque = wire.Opaque("too long")
    assert not opaque == opaque  # noqa: SIM201
    uses = (bool, hash, len, iter, lambda v: v != 1, lambda v: v < 1, lambda v: v + 1, lambda v: v[0])
    for use in uses:
        with pytest.raises(TypeError):
            use(opaque)  # type: ignore[operator]


def test_the_nearest_exception_that_a_message_can_make() -> None:
    assert repr(wire.exception(["UnicodeDecodeError", "ValueError"], "no")) == "ValueError('no')"
    for names in (["SystemExit"], ["int"], ["nonsense"], [], 7, [["ValueError"]], ["StopIteration", "Exception"]):
        assert type(wire.exception(names, "no")) is RuntimeError
