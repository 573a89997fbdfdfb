from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.report.markup import Markup, embedded, join, tag

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Reader(HTMLParser):
    """What a browser would make of markup: its elements, their attributes and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.elements.append(name)
        self.attributes += attributes

    def handle_data(self, data):
        self.text += data


@given(st.text().filter(lambda text: "\r" not in text and "\0" not in text))
def test_text_and_attributes_cannot_break_out(text):
    found = Reader(tag("p", text, title=text))
    assert found.elements == ["p"]
    assert found.attributes == [("title", text)]
    assert found.text == text


@given(JSON)
def test_embedded_json_keeps_its_value_and_holds_nothing_that_ends_a_script(value):
    text = embedded(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_lone_surrogates_are_replaced_rather_than_refused():
    assert json.loads(embedded({"a": ["x\ud800y"]})) == {"a": ["x?y"]}


def test_attributes_are_left_out_bare_or_renamed():
    assert tag("i", class_="a", hidden=True, title=None, open=False) == '<i class="a" hidden></i>'
    assert tag("i", aria_label="x", data_cell=0) == '<i aria-label="x" data-cell="0"></i>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_children_are_flattened_and_markup_is_kept():
    assert join("a<", [tag("b", "c"), None], Markup("&amp;")) == "a&lt;<b>c</b>&amp;"


def test_a_value_that_is_not_json_is_refused():
    with pytest.raises(TypeError):
        embedded(object())
