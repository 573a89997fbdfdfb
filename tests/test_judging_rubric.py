"""Rubrics: read from Markdown, refused by line, digested, carried by runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError, EvidenceError
from assay.judging import library
from assay.judging.rubric_file import parse
from assay.run.folder import RunFolder
from support.judging import RUBRIC, TEXT


def test_the_built_in_rubric_is_the_one_described():
    rubric = library.find("tip-v1")
    assert (rubric.id, rubric.version, rubric.label) == ("tip", 1, "tip-v1")
    assert [one.name for one in rubric.judged] == ["relevance", "actionability", "tone"]
    assert [one.name for one in rubric.measured] == ["format_ok", "overlong"]
    assert rubric.range == (2, 17)
    best = {"relevance": 5, "actionability": 5, "tone": 5, "format_ok": 1, "overlong": 0}
    assert rubric.composite.value(best) == 17
    assert rubric.composite.value({**best, "overlong": 1, "format_ok": 0, "tone": 2}) == 11
    assert rubric.unexampled() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: fit", "id: a b", "must be a name"),
        ("version: 1", "version: one", "whole number"),
        ("version: 1", "version: true", "whole number"),
        ("composite: fit", "composit: fit", "unknown key"),
        ("kind: measured", "kind: measurd", "says who gives it"),
        ("scale: [1, 3]", "scale: [3, 1]", "first below the second"),
        ("scale: [1, 3]", "scale: [1, .nan]", "not a finite number"),
        ("scale: [1, 3]", "scale: [1, 4]", "no anchor for the levels 4"),
        ("scale: [1, 3]", "scale: [0.5, 3]", "whole numbers"),
        ("scale: [1, 3]", "scale: [1, 900]", "too many levels"),
        ('{level: 2, text: "fits a little"}', '{level: 3, text: "fits a little"}', "has an anchor already"),
        ('{level: 1, text: "easy"}', '{level: 0.5, text: "easy"}', "no anchor for the ends of the scale: 1"),
        ('{level: 3, text: "fits"}', '{level: 3, text: ""}', "say what this level means"),
        ("scores: {fit: 3, ease: 1}", "scores: {fit: 4, ease: 1}", "off the scale"),
        ("scores: {fit: 3, ease: 1}", "scores: {fit: 2.5, ease: 1}", "not a whole number"),
        ("scores: {fit: 3, ease: 1}", "scores: {fit: 3}", "no score for ease"),
        ("scores: {fit: 3, ease: 1}", "scores: {fit: 3, eas: 1}", "not a judged dimension"),
        ("2·right", "2·wrong", "'wrong' is not a dimension"),
        ("2·right", "ease/right", "divide by zero"),
        ("2·right", "right.real", "no place in a formula"),
        ("pass_mark: 4", "pass_mark: 40", "never reached"),
        ("  ease:\n", "  comment:\n", "this name is taken"),
        ("metric: accuracy", "metrik: accuracy", "unknown key"),
    ],
)
def test_what_is_wrong_is_told_by_line(old, new, message):
    text = TEXT.replace(old, new, 1)
    with pytest.raises(ConfigError) as caught:
        parse(text, "my.md")
    found = [problem for problem in caught.value.problems if message in problem.message]
    assert found, caught.value
    place = "anchors:" if "no anchor" in message else "{level: 3" if "already" in message else new.strip()
    start = text.index("ease:") if "ends" in message else text.index(place)
    start = text.index(place, start + 1) if "already" in message else start
    assert found[0].where == "my.md"
    assert found[0].line == text.count("\n", 0, text.index(place, start)) + 1


@pytest.mark.parametrize(
    "text", ["", "# no front matter", "---\nid: a\n", "---\n- a\n---\nguide", "---\nid: a\n---\n\n"]
)
def test_what_is_no_rubric_at_all_is_refused(text):
    with pytest.raises(ConfigError):
        parse(text, "my.md")


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse(TEXT.replace("version: 1", "version: 0").replace("kind: judged", "kind: both"), "my.md")
    assert len(caught.value.problems) == 3


def test_the_digest_is_of_what_it_says():
    commented = TEXT.replace("version: 1", "version: 1  # the first")
    assert parse(commented, "other.md").digest == RUBRIC.digest
    assert parse(TEXT.replace("fits a little", "fits somewhat"), "x.md").digest != RUBRIC.digest
    assert parse(TEXT + "And take your time.\n", "x.md").digest != RUBRIC.digest


def test_a_level_without_an_example_is_known():
    assert RUBRIC.unexampled() == ["fit 2"]


def test_a_run_refuses_another_rubric_of_the_same_version(tmp_path: Path):
    folder = RunFolder(tmp_path)
    library.carry(folder, RUBRIC)
    library.carry(folder, RUBRIC)
    changed = parse(TEXT.replace("fits a little", "fits somewhat"), "fit.md")
    with pytest.raises(ConfigError, match="raise 'version'"):
        library.carry(folder, changed)
    library.carry(folder, replace(changed, version=2, text=changed.text.replace("version: 1", "version: 2")))
    assert [rubric.label for rubric in library.carried(folder)] == ["fit-v1", "fit-v2"]
    with pytest.raises(ConfigError, match="several"):
        library.named(folder, None)
    assert library.named(folder, "fit-v1").digest == RUBRIC.digest


def test_a_carried_rubric_that_was_damaged_is_evidence_no_more(tmp_path: Path):
    folder = RunFolder(tmp_path)
    library.carry(folder, RUBRIC)
    (library.folder_of(folder) / "fit-v1.md").write_text("---\nid: other")
    with pytest.raises(EvidenceError, match="damaged"):
        list(library.carried(folder))


def test_an_unknown_rubric_has_a_nearest_name():
    with pytest.raises(ConfigError, match="tip-v1"):
        library.find("tips-v1")


FRAGMENTS = ["", "id: [", "  - x", "dimensions: {a: 1}", "    scale: 3", "    anchors: {a: b}", "    kind:"]
FRAGMENTS += ["examples: [1]", "composite: 1", "pass_mark: yes", "\t", "---"]


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(FRAGMENTS) | st.text(max_size=20)), max_size=4))
def test_any_text_is_a_rubric_or_refused(changes):
    lines = TEXT.split("\n")
    for number, text in changes:
        lines[number % len(lines)] = text
    try:
        rubric = parse("\n".join(lines), "my.md")
    except ConfigError as error:
        assert error.problems
        return
    assert rubric.judged and rubric.range[0] <= rubric.range[1]
