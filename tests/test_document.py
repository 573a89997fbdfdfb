import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.document import LIMIT_BYTES, dotted, nearest, parse, read
from assay.errors import ConfigError


def problems(text, **more):
    """All that is wrong with a text, one string a problem."""
    try:
        return [str(problem) for problem in parse(text, "f.yaml", **more).problems]
    except ConfigError as error:
        return [str(problem) for problem in error.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("0x1F", 31),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("On", "On"),
        ("2024-01-31", "2024-01-31"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("'010'", "010"),
        ('"1"', "1"),
        ("!!str 7", "7"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text, value):
    found = parse(f"key: {text}", "f.yaml").value["key"]
    assert found == value
    assert isinstance(found, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 010", "f.yaml:1: 010 is ambiguous: a leading zero makes it octal for some readers"),
        ("a: 0o10", "f.yaml:1: 0o10 is ambiguous"),
        ("a: .nan", "f.yaml:1: .nan is not a finite number"),
        ("a: 1e999", "f.yaml:1: 1e999 is too large a number"),
        ("a: 99999999999999999999", "f.yaml:1: 99999999999999999999 is too large a number"),
        ("a: !!python/object:os.system x", "f.yaml:1: the tag !!python/object:os.system is not allowed here"),
        ("a: !!int x", "f.yaml:1: the tag !!int is not allowed here"),
        ("a: 1\nb: 2\na: 3", "f.yaml:3: a: this key is here twice (first on line 1)"),
        ("a:\n  - b: 1\n    b: 2", "f.yaml:3: a[0].b: this key is here twice (first on line 2)"),
        ("1: 2", "f.yaml:1: a key must be text, 1 is not; put it in quotes"),
        ("? [x]\n: 2", "f.yaml:1: a key must be text, a list is not"),
        ("a: [1\nb: 2", "f.yaml:2: not YAML: did not find expected ',' or ']', column 2"),
        ("a:\n\t- b", "f.yaml:2: not YAML: found character that cannot start any token, column 1"),
        ("a: 1\nb: \x00", "f.yaml:2: not YAML: control characters are not allowed"),
        ("a: *b", "f.yaml:1: the alias *b has no anchor &b before it"),
        ("a: &a [*a]", "f.yaml:1: the alias *a stands inside its own anchor"),
        ("a: 1\n---\nb: 2", "f.yaml:2: a second document ('---') in one file"),
        ("a: {<<: 7}", "f.yaml:1: a: '<<' takes a mapping or a list of mappings"),
    ],
)
def test_what_is_wrong_names_its_line(text, message):
    assert problems(text)[0].startswith(message)


def test_every_value_has_a_line():
    found = parse("a:\n  - b: 1\n\n    c: [x,\n      y]\n", "f.yaml")
    lines = {dotted(path): line for path, line in found.lines.items()}
    assert lines == {"": 1, "a": 1, "a[0]": 2, "a[0].b": 2, "a[0].c": 4, "a[0].c[0]": 4, "a[0].c[1]": 5}
    assert found.line(("a", 0, "nothing here")) == 2


def test_anchors_aliases_and_merge_keys():
    found = parse("- &x {a: 1, b: 2}\n- *x\n- <<: *x\n  b: 3\n- <<: [*x, {c: 4}]", "f.yaml").value
    assert found == [{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"b": 3, "a": 1}, {"a": 1, "b": 2, "c": 4}]


def _laughs() -> str:
    first = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    return first + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))


def _chain() -> str:
    links = "".join(f"  - &a{i} {{<<: *a{i - 1}}}\n" for i in range(1, 5000))
    return f"- <<:\n  - &a0 {{x: 1}}\n{links}  k: *a4999\n"


@pytest.mark.parametrize(
    ("text", "as_json", "message"),
    [
        (_laughs(), False, "too many values"),
        (_chain(), False, "nested too deeply"),
        ("[" * 100_000, False, "nested too deeply"),
        ("{a: " * 100_000, False, "nested too deeply"),
        ("- 1\n" * 30_000, False, "too many values"),
        ("[" * 100_000, True, "nested too deeply"),
        ("[" + "1," * 30_000 + "1]", True, "too many values"),
    ],
)
def test_bombs_are_refused(text, as_json, message):
    assert message in problems(text, json=as_json)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a" 1}', "f.yaml:1: not JSON: expected ':', column 6"),
        ('{\n"a": 1,\n}', "f.yaml:3: not JSON: expected a key in double quotes, column 1"),
        ("[1,]", "f.yaml:1: not JSON: expected a value, column 4"),
        ("[1 2]", "f.yaml:1: not JSON: expected ',', column 4"),
        ("[NaN]", "f.yaml:1: not JSON: expected a value, column 2"),
        ("[1e999]", "f.yaml:1: not JSON: too large a number, column 2"),
        ('["a\nb"]', "f.yaml:1: not JSON: this text in quotes does not end, or has a wrong escape, column 2"),
        ('["\\ud83d"]', "f.yaml:1: not JSON: half of a surrogate pair, column 2"),
        ("[1] x", "f.yaml:1: not JSON: something follows the end of the document, column 5"),
        ("", "f.yaml:1: not JSON: expected a value, column 1"),
        ('{"a": 1, "a": 2}', "f.yaml:1: a: this key is here twice (first on line 1)"),
    ],
)
def test_broken_json_names_line_and_column(text, message):
    assert problems(text, json=True)[0] == message


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)  # fmt: skip


@given(_json, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_json_is_read_as_the_standard_library_does(value, indent, ascii):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    assert parse(text, "f.json", json=True).value == value


@given(st.text(), st.booleans())
def test_any_text_is_read_or_refused(text, as_json):
    try:
        parse(text, "f", json=as_json)
    except ConfigError as error:
        assert all(problem.line for problem in error.problems)


def test_files_that_cannot_be_read(tmp_path):
    large, latin = tmp_path / "large.yaml", tmp_path / "latin.yaml"
    large.write_bytes(b"#" * (LIMIT_BYTES + 1))
    latin.write_bytes(b"a: 1\nb: \xe9\n")
    for path, message in {
        large: "the file is too large",
        latin: ":2: not UTF-8 text",
        tmp_path: "not a plain file",
        tmp_path / "none.yaml": "cannot be read: No such file or directory",
        tmp_path / "null\0byte": "cannot be read",
    }.items():
        with pytest.raises(ConfigError, match=message):
            read(path)


def test_line_ends_and_byte_order_marks_do_not_matter(tmp_path):
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read(path).value == {"a": 1, "b": 2}
    assert read(path).line(("b",)) == 2


def test_nearest_name():
    assert nearest("Boolq", ["piqa", "boolq"]) == "boolq"
    assert nearest("BOOLQ", ["piqa", "BoolQ"]) == "BoolQ"
    assert nearest("quux", ["piqa", "boolq"]) is None
