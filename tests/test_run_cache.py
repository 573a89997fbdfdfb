from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assay.records import ChoiceScore, Completion, Request, Sampling
from assay.run.cache import ResponseCache, wanted
from support.models import Scripted, constant
from support.plans import plan

REQUEST = Request(Sampling(), seed=1, text="?", key="a")
ANSWER = Completion("yes", "stop", 3, 1, (ChoiceScore(-0.5, 2),))


def test_what_was_put_is_got_back_also_by_another_run(tmp_path: Path) -> None:
    first = ResponseCache(tmp_path / "responses.sqlite")
    key = first.key(Scripted(constant()), REQUEST, 0)
    first.put(key, ANSWER)
    assert first.get(key) == ANSWER
    first.close()
    again = ResponseCache(tmp_path / "responses.sqlite")
    assert again.get(key) == ANSWER
    again.close()


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, seed=2),
        replace(REQUEST, text="!"),
        replace(REQUEST, choices=("a",)),
        replace(REQUEST, sampling=Sampling(temperature=0.1)),
        replace(REQUEST, sampling=Sampling(stop=("x",))),
    ],
)
def test_whatever_shapes_the_answer_is_in_the_key(tmp_path: Path, other: Request) -> None:
    cache = ResponseCache(tmp_path / "responses.sqlite")
    model = Scripted(constant())
    assert cache.key(model, other, 0) != cache.key(model, REQUEST, 0)
    assert cache.key(model, REQUEST, 1) != cache.key(model, REQUEST, 0)
    assert cache.key(Scripted(constant(), name="other"), REQUEST, 0) != cache.key(model, REQUEST, 0)
    assert cache.key(model, replace(REQUEST, key="b"), 0) == cache.key(model, REQUEST, 0)
    cache.close()


def test_on_its_own_initiative_only_for_pinned_greedy_models() -> None:
    model = Scripted(constant(), name="m0")
    assert not wanted("auto", plan(), model)
    assert wanted("on", plan(), model)
    assert not wanted("off", plan(), model)
