"""Whatever stands in a file: an importer reads it or says what is wrong with it, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.importers import registry
from assay.importers.draft import draft
from assay.importers.survey import survey
from support.foreign import evalplus, inspect_log, inspect_sample, lm_eval, lm_row, promptfoo, promptfoo_row, written

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["C", "pass"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))

SOUND: dict[str, tuple[str, Any]] = {
    "inspect": ("log.json", inspect_log([inspect_sample(1), inspect_sample(2, "I")], 0.5)),
    "evalplus": ("m_eval_results.json", evalplus({"H/0": [("pass", "fail")]}, pass_at_k={"base": {"pass@1": 1.0}})),
    "promptfoo": ("out.json", promptfoo([("echo", "p")], [promptfoo_row(0, 0), promptfoo_row(0, 1, False)])),
}


def read(format: str, path: Path) -> None:
    """Everything that importing does before it writes."""
    try:
        draft(survey(registry.find(format).open(path)), format, ()).plan.to_json()
    except ConfigError as error:
        assert error.problems


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, item in inner for place in places(item, (*above, key)))]


def replaced(value: Any, place: tuple[Any, ...], by: Any) -> Any:
    if not place:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], by)
    return copy


@pytest.mark.parametrize("format", SOUND)
@settings(max_examples=150)
@given(draw=st.data())
def test_any_value_in_any_place(format: str, draw: st.DataObject) -> None:
    name, sound = SOUND[format]
    place = draw.draw(st.sampled_from(places(sound)))
    with TemporaryDirectory() as folder:
        read(format, written(Path(folder) / name, replaced(sound, place, draw.draw(VALUES))))


@settings(max_examples=150)
@given(draw=st.data())
def test_any_value_in_any_place_of_lm_evals_files(draw: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        rows: list[Any] = [lm_row(0, 1.0), lm_row(1, 0.0)]
        if draw.draw(st.booleans()):
            rows = replaced(
                rows, draw.draw(st.sampled_from([each for each in places(rows) if each])), draw.draw(VALUES)
            )
        path = lm_eval(Path(folder), {"none": [1.0, 0.0]}, rows)
        content = json.loads(path.read_text())
        if draw.draw(st.booleans()):
            content = replaced(content, draw.draw(st.sampled_from(places(content))), draw.draw(VALUES))
        read("lm-eval", written(path, content))


@settings(max_examples=100)
@given(value=VALUES, place=st.sampled_from(["results", "results.tasks", "target", "config"]))
def test_any_value_in_nemos_file(value: Any, place: str) -> None:
    scores = {"micro": {"value": 0.5, "stats": {"stddev": 0.5, "stderr": 0.1}}}
    sound: Any = {"results": {"tasks": {"t": {"metrics": {"m": {"scores": scores}}}}}, "target": {}, "config": {}}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "results.yml"
        path.write_text(json.dumps(replaced(sound, tuple(place.split(".")), value)))
        read("nemo", path)


@pytest.mark.parametrize("format", registry.names())
@settings(max_examples=60)
@given(data=st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"PK\x03\x04" + tail))
def test_any_bytes(format: str, data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "results_eval_results.json"
        path.write_bytes(data)
        with pytest.raises(ConfigError):
            registry.find(format).open(path)


@pytest.mark.parametrize("format", registry.names())
def test_what_is_not_there_is_named(format: str, tmp_path: Path) -> None:
    for path in (tmp_path / "results_none.json", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            registry.find(format).open(path)


def test_an_unknown_format_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'promptfoo'"):
        registry.find("promptfo")
    assert registry.names() == ("evalplus", "inspect", "lm-eval", "nemo", "promptfoo")
