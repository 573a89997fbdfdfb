import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError, ScorerError
from assay.records import Completion, Sample
from assay.scoring.found_json import find
from assay.scoring.json_schema import json_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"$ref": "#/$defs/age"}},
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"age": {"type": "integer", "minimum": 0}},
}
SAMPLE = Sample("1", "?")
VALID, PARSED, NOTHING = ({"valid": True, "parsed": True}, {"valid": False, "parsed": True},
                          {"valid": False, "parsed": False})  # fmt: skip


def score(text, schema=PERSON, finish=None):
    return json_schema({"schema": schema}).score(SAMPLE, Completion(text, finish))


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        ('{"name": "Ada", "age": 36}', VALID),
        ('Here it is:\n```json\n{"name": "Ada"}\n```\nAnything else?', VALID),
        ('```\n{"name": 1}\n```\nor\n```json\n{"name": "Ada"}\n```', VALID),
        ('I suggest {"name": "Ada"}.', VALID),
        ('{"name": 1} or rather {"name": "Ada"} {or so}', VALID),
        ('{"name": "ada"}', PARSED),
        ('{"name": "Ada", "age": -1}', PARSED),
        ('{"name": "Ada", "x": 1}', PARSED),
        ("[1]", PARSED),
        ("Ada", NOTHING),
        ('{"name": "Ada", "age": NaN}', NOTHING),
        ("{'name': 'Ada'}", NOTHING),
        ('{"all": {"name": "Ada"}, ', NOTHING),
        ('["never closed ] {}', NOTHING),
        ("", NOTHING),
    ],
)
def test_what_is_valid_and_what_is_json(text, metrics):
    assert score(text).metrics == metrics


def test_why_says_where_and_what():
    assert score('{"name": "Ada", "age": -1}').why == "at $.age: -1 is less than the minimum of 0"
    assert score('{"name": "ada"}').why == "at $.name: 'ada' does not match '^[A-Z]'"
    assert score('{"na', finish="length").why.endswith("cut by its token limit")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_object_is_found_between_words(value):
    text = json.dumps({"value": value})
    assert find(f"Well: {text} as asked.") == (text, {"value": value})


@given(st.text(alphabet='{}[]",:\\1a `\n', max_size=80))
def test_no_text_breaks_the_search(text):
    found = find(text)
    assert found is None or found[0] in text


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "objekt"}, r"at \$\.type"),
        ({"$ref": "https://example.com/s.json"}, "nothing is fetched"),
        ({"$ref": "file:///etc/passwd"}, "nothing is fetched"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "is not in the schema"),
        ({"pattern": "("}, "not a regular expression"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "only https"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "not supported"),
        ("{}", "as an object"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_when_made(schema, message):
    with pytest.raises(ConfigError, match=message):
        json_schema({"schema": schema})


def test_no_schema_is_a_mistake():
    with pytest.raises(ConfigError, match="needs this option"):
        json_schema({})


def test_a_reference_that_is_only_data_is_no_reference():
    schema = {"properties": {"$ref": {"type": "string"}}, "const": {"$ref": "https://example.com"}}
    assert score('{"$ref": "https://example.com"}', schema).metrics == VALID


def test_references_by_id_and_recursion_work():
    schema = {
        "$id": "https://example.com/tree",
        "type": "object",
        "properties": {"kids": {"type": "array", "items": {"$ref": "https://example.com/tree"}}},
        "required": ["kids"],
    }
    assert score('{"kids": [{"kids": []}]}', schema).metrics == VALID
    assert score('{"kids": [{"kid": []}]}', schema).metrics == PARSED


@pytest.mark.parametrize(
    ("items", "unique"),
    [("[1, 1.0]", False), ("[1, true]", True), ('[{"a":1,"b":2},{"b":2,"a":1}]', False), ("[[1],[2]]", True)],
)
def test_unique_items(items, unique):
    assert score(items, {"uniqueItems": True}).metrics["valid"] is unique


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"properties": {"a": {"pattern": "^(a|aa)+$"}}}, json.dumps({"a": "a" * 200 + "b"})),
        ({"patternProperties": {"^(a|aa)+$": {}}}, json.dumps({"a" * 200 + "b": 1})),
        ({"anyOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}], "$defs": {"n": {"items": {"$ref": "#"},
          "type": "array"}}}, "[" * 30 + "1" + "]" * 30),
        ({"items": {"$ref": "#"}}, "[" * 900 + "]" * 900),
        ({}, " " * 200_001 + "1"),
    ],
)  # fmt: skip
def test_what_would_hang_is_stopped_and_not_scored(schema, text):
    with pytest.raises(ScorerError):
        score(text, schema)


def test_hostile_text_is_searched_in_linear_time():
    for text in [
        '{"' + '\\"' * 90_000,
        "{" * 190_000,
        "```" + " " * 190_000 + "x",
        "[" * 95_000 + "]" * 95_000,
        "{}" * 90_000,
    ]:
        find(text)


def test_formats_are_not_checked():
    assert score('"no date"', {"format": "date"}).metrics == VALID
