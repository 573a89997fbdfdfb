import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.scoring.repair import read

VALUE = {"tips": ["Call, then write.", "Rest // a little"]}
PLAIN = json.dumps(VALUE)


@pytest.mark.parametrize(
    ("text", "repairs"),
    [
        (PLAIN, {}),
        (f"  {PLAIN}\n", {}),
        (f"```json\n{PLAIN}\n```", {"fence": 1}),
        (f"Here you are:\n```json\n{PLAIN}\n```\nGood luck!", {"fence": 1, "prose": 1}),
        (f"Sure! {PLAIN} Hope it helps.", {"prose": 1}),
        (f"As [you] asked: {PLAIN}", {"prose": 1}),
        ('{"tips": ["Call, then write.", "Rest // a little",],}', {"comma": 2}),
        ('{"tips": ["Call, then write.", // first\n "Rest // a little"]} ', {"comment": 1}),
        ("{“tips”: [“Call, then write.”, “Rest // a little”]}", {"quote": 6}),
        ('{"tips": ["Call, then write.", "Rest // a little"', {"bracket": 2}),
        ('```\n{"tips": ["Call, then write.", "Rest // a little",]}', {"fence": 1, "comma": 1}),
    ],
)
def test_repairs_are_counted(text, repairs):
    found = read(text)
    assert (found.value, found.repairs, found.count) == (VALUE, repairs, sum(repairs.values()))


@pytest.mark.parametrize("text", ["", "No tips today.", '{"tips": ["one', "{'tips': 1}", "[}", "```\n```"])
def test_what_no_repair_makes_json_is_none(text):
    assert read(text) is None


def test_commas_and_slashes_inside_texts_are_left_alone():
    text = '{"a": "x,]", "b": "http://x"}'
    assert (read(text).value, read(text).count) == (json.loads(text), 0)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.text(), s),
    )
)
def test_json_needs_no_repair(value):
    found = read(json.dumps(value))
    assert (found.value, found.count) == (value, 0)


@given(st.text(alphabet='{}[]",:/\\`\n tips1“”'))
def test_anything_is_read_or_not_and_never_raises(text):
    found = read(text)
    assert found is None or found.count >= 0
