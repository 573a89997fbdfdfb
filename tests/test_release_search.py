"""The search for a recipe: what it proposes, what it spends, what it may claim; and one real search of SmolLM2."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.errors import ConfigError, MachineError
from assay.files import pretty, read_json
from assay.release.conductor import Conductor
from assay.release.folder import ReleaseFolder
from assay.release.resolve import resolve
from assay.release.search import Answer, Search, Trial, dominates, rank, undominated
from assay.release.search_rules import parse as parse_rules
from assay.release.search_rules import rules
from assay.release.space import from_json
from assay.release.stages.base import Silent
from assay.release.stages.screen import problems
from assay.release.stages.store import Store
from assay.release.verify import verify
from assay.stats.paired import PairedTable, difference
from support.brief import shortened
from support.releasing import edit, events, finished, stored
from support.searching import LOSSES, answered, asked_of, conduct, everything, release, space

FAILURES = ("QUANT_COVERAGE_FAILURE", "MODEL_UNSUPPORTED", "DEPLOYMENT_HEALTH_FAILED", "UNKNOWN")
TWELVE = (
    *(f"{name}{part}" for name in ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "MXFP4") for part in ("", "-mlp-only")),
)
RECIPES = ("Q8_0", "Q6_K", "Q5_0", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K")


@st.composite
def searches(draw: Any) -> tuple[Search, dict[Any, Any]]:
    """A search, and a world that answers it."""
    recipes = draw(st.lists(st.sampled_from(RECIPES), min_size=1, max_size=5, unique=True))
    found = space(
        recipes=recipes,
        keep=draw(st.lists(st.sampled_from(["ffn_down", "attn_v", "mlp"]), max_size=2, unique=True))
        if set(recipes) - {"Q8_0"}
        else [],
        positions=draw(st.sampled_from([["all"], ["first:2", "last:2"]])),
        start=draw(st.lists(st.sampled_from(recipes), max_size=2, unique=True)),
        trials=draw(st.integers(2, 9)),
        rungs=draw(st.integers(1, 4)),
        samples=draw(st.integers(1, 40)),
        finalists=draw(st.integers(1, 4)),
        attempts=draw(st.none() | st.integers(1, 600)),
        seed=draw(st.integers(0, 3)),
    )
    loss = st.floats(-1, 3) | st.sampled_from(FAILURES)
    losses = {name: draw(loss) for name in everything(found)}
    sizes = {name: draw(st.integers(50, 60)) for name in everything(found)}
    return Search(found), dict(answered(found, losses, sizes))


many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(searches())
def test_nothing_is_asked_twice_and_no_budget_is_exceeded(drawn: tuple[Search, dict[Any, Any]]) -> None:
    search, world = drawn
    asks, told = asked_of(search, world)
    assert len({ask.key for ask in asks}) == len(asks)
    assert len({ask.recipe.to_json()["digest"] for ask in asks}) == len({ask.recipe.name for ask in asks})
    assert len({ask.recipe.name for ask in asks}) <= search.space.trials
    trace = search.follow(told)
    assert trace.attempts == sum(answer.attempts for answer in told.values() if answer)
    assert search.space.attempts is None or trace.attempts <= search.space.attempts


@many
@given(searches())
def test_finalists_were_measured_and_are_no_more_than_was_fixed(drawn: tuple[Search, dict[Any, Any]]) -> None:
    search, world = drawn
    _, told = asked_of(search, world)
    trace = search.follow(told)
    measured = {name for name, trial in trace.trials.items() if any(rung.loss is not None for rung in trial.rungs)}
    assert set(trace.finalists) <= measured
    assert len(trace.finalists) <= search.space.finalists
    assert len(trace.finalists) == min(search.space.finalists, len(measured))
    assert all(trial.ended for trial in trace.trials.values())
    front = [name for name, trial in trace.trials.items() if trial in undominated(list(trace.trials.values()))]
    assert set(front) <= measured
    assert bool(front) == bool(measured)


@many
@given(searches(), st.randoms(use_true_random=False))
def test_a_search_that_was_stopped_anywhere_goes_on_with_the_same(
    drawn: tuple[Search, dict[Any, Any]], rng: random.Random
) -> None:
    search, world = drawn
    asks, told = asked_of(search, world)
    part = dict(list(told.items())[: rng.randint(0, len(told))])
    again = Search(from_json(orjson.loads(pretty(search.space.to_json()))))
    more = again.next(part)
    rest = [ask for ask in asks if ask.key not in part]
    assert list(more) == rest[: len(more)]
    assert bool(more) == bool(rest)
    assert again.follow(told).to_json(again.space) == search.follow(told).to_json(search.space)


@many
@given(searches())
def test_the_better_half_goes_on_and_nobody_better_stays_behind(drawn: tuple[Search, dict[Any, Any]]) -> None:
    search, world = drawn
    trace = search.follow(asked_of(search, world)[1])
    for rung in range(1, search.space.rungs):
        alive = [trial for trial in trace.trials.values() if len(trial.rungs) >= rung and trial.rungs[rung - 1].loss]
        on = [trial for trial in alive if len(trial.rungs) > rung]
        assert not on or len(on) >= min(len(alive) / 2, search.space.finalists)
        for left in (trial for trial in alive if trial.ended == f"screened out after rung {rung}" and on):
            assert not all(dominates(left, other) for other in on)


@given(st.lists(st.tuples(st.floats(-2, 4), st.integers(1, 20)), min_size=1, max_size=12))
def test_the_first_in_rank_is_dominated_by_none(values: list[tuple[float, int]]) -> None:
    recipe = space().bases[0]
    trials = [Trial(recipe, recipe, rungs=[Answer(loss, size)]) for loss, size in values]
    ranked = rank(trials)
    assert len(ranked) == len(trials)
    assert not any(dominates(other, ranked[0]) for other in trials)
    for place, one in enumerate(ranked):
        assert not any(dominates(other, one) for other in ranked[place + 1 :])


# --- rules ---


def proposed(losses: dict[str, float | str], **changes: Any) -> list[str]:
    found = space(**changes)
    return list(dict.fromkeys(ask.recipe.name for ask in asked_of(Search(found), answered(found, losses))[0]))


def test_a_loss_leads_to_modules_kept_and_then_to_the_next_larger() -> None:
    losses: dict[str, float | str] = dict.fromkeys(("Q4_0", "Q4_0-keep-ffn_down", "Q4_0-keep-attn_v"), 2.0)
    found = proposed({**losses, "Q8_0": 0.0}, start=["Q4_0"])
    assert found == ["Q4_0", "Q4_0-keep-ffn_down", "Q4_0-keep-attn_v", "Q5_0"]


def test_what_holds_leads_to_the_next_smaller() -> None:
    assert proposed({}, start=["Q8_0"], keep=[]) == ["Q8_0", "Q5_0", "Q4_0"]


def test_a_type_that_does_not_fit_leads_to_one_that_does() -> None:
    found = proposed({"Q2_K": "QUANT_COVERAGE_FAILURE"}, recipes=["Q2_K", "Q8_0"], start=["Q2_K"], keep=[])
    assert found[:2] == ["Q2_K", "Q4_0"]


def test_positions_and_the_seed_order_variants() -> None:
    plain = space(positions=["first:2", "last:2"])
    assert [one.name for one in plain.variants(plain.bases[2])][:2] == [
        "Q4_0-keep-ffn_down.first2",
        "Q4_0-keep-ffn_down.last2",
    ]
    orders = {
        tuple(one.name for one in found.variants(found.bases[2])) for seed in range(5) for found in [space(seed=seed)]
    }
    assert len(orders) == 2


def test_every_rule_of_the_table_that_ships_is_read() -> None:
    assert len(rules().rules) > 5
    assert {"ffn_down", "attn_v"} <= set(rules().families)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"after": "REGRESSION"}, "none of"),
        ({"try": "guess"}, "larger"),
        ({"recipe": "Q4_0"}, "one of the two"),
        ({"colour": 1}, "Extra"),
    ],
)
def test_a_wrong_rule_is_refused(change: dict[str, Any], said: str) -> None:
    rule = {"after": "LOSS_ABOVE_MARGIN", "try": "keep", "why": "so", **change}
    with pytest.raises(ConfigError, match=said):
        parse_rules({"schema": "assay.search_rules.v1", "families": {}, "rules": [rule]})


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ({"keep": ["ffn_dwon"]}, "search.keep", "ffn_down"),
        ({"positions": ["middle"]}, "search.positions", "first:N"),
        ({"start": ["Q6_K"]}, "search.start", "none of the recipes"),
        ({"recipes": ["Q8_0", "Q8_0"]}, "search.recipes", "twice"),
        ({"recipes": ["Q9"]}, "search.recipes", "no recipe"),
        ({"recipes": ["Q8_0"]}, "search.keep_at", "of every recipe"),
        ({"keep_at": "Q6_K"}, "search.keep_at", "no type"),
        ({"keep_at": "Q6_K", "colour": 1}, "search", "unknown key"),
        ({"rules": "nowhere.yaml"}, "", "nowhere.yaml"),
    ],
)
def test_a_wrong_space_is_refused_by_its_line(tmp_path: Path, change: dict[str, Any], key: str, said: str) -> None:
    value = {
        "schema": "assay.release.v1",
        "source": "nowhere",
        "search": {"recipes": ["Q8_0", "Q4_0"], "keep": ["ffn_down"], **change},
        "tasks": ["arc_easy"],
        "policy": {"schema": "assay.policy.v1", "defaults": {"margin": 0.02}},
    }
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    told = " ".join(str(problem) for problem in caught.value.problems) or str(caught.value)
    assert said in told
    assert key in told
    assert not key or str(path) in told


# --- the conductor ---

FINAL = {"compare-Q5_0": {"verdict": "ACCEPT"}, "compare-Q4_0-keep-ffn_down": {"verdict": "ACCEPT"}}


def test_the_smallest_accepted_finalist_is_recommended(tmp_path: Path) -> None:
    decision = conduct(tmp_path / "r", release(), FINAL)
    assert read_json(tmp_path / "r" / "search.json")["finalists"] == ["Q4_0-keep-ffn_down", "Q5_0"]
    assert (decision["verdict"], decision["recommended"]) == ("ACCEPT", "Q4_0-keep-ffn_down")
    assert decision["alpha"]["candidates"] == 2
    compared = [stage for stage in finished(tmp_path / "r") if stage.startswith("compare-")]
    assert compared == ["compare-Q4_0-keep-ffn_down", "compare-Q5_0"]


def test_where_the_smallest_finalist_is_worse_the_next_is_recommended(tmp_path: Path) -> None:
    script = {**FINAL, "compare-Q4_0-keep-ffn_down": {"verdict": "REGRESSION"}}
    assert conduct(tmp_path / "r", release(), script)["recommended"] == "Q5_0"


def test_what_was_screened_out_is_told_without_a_verdict(tmp_path: Path) -> None:
    decision = conduct(tmp_path / "r", release(), FINAL)
    out = {point["candidate"]: point for point in decision["candidates"] if point["verdict"] is None}
    assert {"Q8_0", "Q4_0"} <= set(out)
    assert all("no verdict" in point["reasons"][0] for point in out.values())
    front = {entry["candidate"]: entry for entry in read_json(tmp_path / "r" / "front.json")["entries"]}
    assert front["Q4_0"]["loss"] == pytest.approx(LOSSES["Q4_0"])
    assert front["Q4_0"]["verdict"] is None


def test_no_finalist_accepted_and_others_untested_is_undecided(tmp_path: Path) -> None:
    script = {name: {"verdict": "REGRESSION"} for name in FINAL}
    assert conduct(tmp_path / "r", release(), script)["verdict"] == "INCONCLUSIVE"


@pytest.mark.parametrize(
    "key",
    [
        "prepare",
        "quantize-Q4_0-keep-ffn_down",
        "screen-baseline",
        "screen-Q5_0",
        "rung-Q4_0",
        "screen-Q5_0.2",
        "rung-Q4_0-keep-ffn_down.2",
        "evaluate-baseline",
        "evaluate-Q5_0",
        "compare-Q5_0",
    ],
)
def test_stopped_at_any_stage_it_ends_the_same_and_does_nothing_twice(tmp_path: Path, key: str) -> None:
    whole = conduct(tmp_path / "whole", release(), FINAL)
    path = tmp_path / "r"
    with pytest.raises(MachineError):
        conduct(path, release(), {**FINAL, key: [{"raises": "SYSTEMIC"}, FINAL.get(key, {})]})
    assert conduct(path, release()) == whole
    assert Counter(finished(path)) == Counter(finished(tmp_path / "whole"))
    assert max(Counter(finished(path)).values()) == 1
    assert (path / "search.json").read_bytes() == (tmp_path / "whole" / "search.json").read_bytes()


def test_a_rung_that_was_edited_is_done_again_and_so_is_what_stands_on_it(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with pytest.raises(MachineError):
        conduct(path, release(), {**FINAL, "compare-Q5_0": [{"raises": "SYSTEMIC"}, {}]})
    record = next((path / "stages").glob("*-rung-Q5_0.json"))
    facts = stored(path, "rung-Q5_0")["facts"]
    edit(record, facts={**facts, "tasks": [{**facts["tasks"][0], "loss": 9.0}]})
    assert conduct(path, release())["recommended"] == "Q4_0-keep-ffn_down"
    void = [stage for event, stage in events(path) if event == "stage_void"]
    assert void[0] == "rung-Q5_0"
    assert "select" in void


def test_the_releases_budget_ends_the_search_where_it_is_spent(tmp_path: Path) -> None:
    decision = conduct(tmp_path / "r", release(budget={"attempts": 45}), FINAL)
    asked = [stage for stage in finished(tmp_path / "r") if stage.startswith(("screen-", "evaluate-"))]
    assert len(asked) * 10 <= 55  # the baseline's own are not refused
    assert decision["verdict"] == "INCONCLUSIVE"
    again = [point["reasons"][0] for point in decision["candidates"] if point["verdict"] is None]
    assert any("budget" in reason for reason in again)


def test_failed_candidates_are_told_with_their_class(tmp_path: Path) -> None:
    script = {**FINAL, "ptq-Q4_0": {"verdict": "FAIL", "class": "QUANT_COVERAGE_FAILURE"}}
    decision = conduct(tmp_path / "r", release(), script)
    failed = next(point for point in decision["candidates"] if point["candidate"] == "Q4_0")
    assert (failed["verdict"], failed["failure_class"]) == ("INFEASIBLE", "QUANT_COVERAGE_FAILURE")


# --- what may be claimed ---


def _tables(rng: Any, names: list[str], samples: int) -> dict[str, Any]:
    """Wins and losses of candidates that are all as bad as the margin: the least favourable case."""
    return {name: rng.multinomial(samples, [0.10, 0.05, 0.85]) for name in names}


@pytest.mark.parametrize("finalists", [1, 3])
def test_alpha_is_kept_over_a_search_and_would_not_be_on_the_samples_of_screening(finalists: int) -> None:
    """Twelve candidates of one size that each lose exactly the margin: accepting any is false. The final test is on
    fresh samples; on those that chose the finalists it would be false far more often than alpha allows."""
    import numpy as np

    margin, alpha, tries = 0.05, 0.05, 2000
    found = space(recipes=list(TWELVE), keep=[], samples=75, rungs=3, finalists=finalists)
    rng = np.random.default_rng(20261120)
    false = Counter[str]()
    for _ in range(tries):
        rungs = [_tables(rng, everything(found), found.total(rung) - found.total(rung - 1)) for rung in (1, 2, 3)]
        sums = {name: np.cumsum([rung[name] for rung in rungs], axis=0) for name in rungs[0]}
        shares = {
            (name, rung): float(sums[name][rung - 1] @ [1, -1, 0]) / found.total(rung) / margin
            for name in sums
            for rung in (1, 2, 3)
        }
        chosen = Search(found).follow({key: Answer(loss, 100) for key, loss in shares.items()}).finalists
        assert len(chosen) == finalists
        fresh = _tables(rng, list(chosen), 300)
        for kind, tables in (("fresh", fresh), ("again", {name: sums[name][2] for name in chosen})):
            counts = [[int(count) for count in table] for table in tables.values()]
            lows = [difference(PairedTable(same, lost, won, 0), alpha / finalists).low for lost, won, same in counts]
            false[kind] += any(low is not None and low > -margin for low in lows)
    # Tango's interval errs by up to 5.7 % at a nominal 5 (assay.stats.paired); two standard errors of the simulation.
    assert false["fresh"] / tries <= 0.057 + 2 * (alpha * (1 - alpha) / tries) ** 0.5
    assert false["again"] / tries > 2 * alpha


# --- a real one ---

REAL: dict[str, Any] = {
    "schema": "assay.release.v1",
    "name": "tiny-search",
    "source": {"model": "smollm2-135m", "convert": "F16"},
    "search": {
        "recipes": ["Q8_0", "Q4_0"],
        "keep": ["ffn_down"],
        "start": ["Q4_0"],
        "trials": 3,
        "samples": 6,
        "rungs": 2,
        "finalists": 1,
    },
    "tasks": [{"task": "arc_easy", "limit": 10, "scoring_mode": "multiple_choice"}],
    # Ten questions say next to nothing: the margin is wide, so that the search may end as it likes.
    "policy": {"schema": "assay.policy.v1", "defaults": {"margin": 0.6, "max_gain": 0.9}},
    # So does a look at two short answers of how common their words are.
    "serving": {"health": {"known_ratio": 0.2}},
    "cache": "off",
}


@pytest.mark.slow
@pytest.mark.local
@pytest.mark.data
@pytest.mark.timeout(1500)
def test_a_real_search_of_two_recipes_and_one_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is measured leads to the variant, so that it is made, gated and measured; then everything verifies."""
    shortened(monkeypatch)
    table = rules().content
    table["rules"] = [
        {"after": event, "try": "keep", "why": "to see it made"}
        for event in ("LOSS_WITHIN_MARGIN", "LOSS_ABOVE_MARGIN")
    ]
    own = tmp_path / "rules.yaml"
    own.write_text(yaml.safe_dump(table))
    spec = tmp_path / "search.yaml"
    spec.write_text(yaml.safe_dump({**REAL, "search": {**REAL["search"], "rules": str(own)}}))
    path = tmp_path / "r"
    decision = Conductor(resolve(spec), ReleaseFolder(path), Silent()).run()
    searched = read_json(path / "search.json")
    assert [trial["candidate"] for trial in searched["candidates"]] == ["Q4_0", "Q4_0-keep-ffn_down"]
    numbers = read_json(path / "candidates/Q4_0-keep-ffn_down/gates/ptq.json")["numbers"]
    assert (numbers["types"], numbers["kept"]) == ({"Q4_0": 180}, {"Q8_0": 30})
    assert 5 < numbers["linear_bits"] < 6
    (chosen,) = searched["finalists"]
    assert decision["recommended"] in (None, chosen)
    points = {point["candidate"]: point for point in decision["candidates"]}
    assert all(point["tasks"][0]["loss"] is not None for point in points.values())
    assert (points[chosen]["tasks"][0]["pairs"], decision["alpha"]["level"]) == (10, 0.05)
    plans = [read_json(place / "plan.json") for place in sorted((path / "baseline").glob("run*"))]
    asked = [sample for plan in plans for sample in plan["tasks"]["arc_easy"]["samples"]]
    assert len(asked) == len(set(asked))
    assert verify(path) == []
    _claims_of_screening_are_followed_again(path)


def _claims_of_screening_are_followed_again(path: Path) -> None:
    """What a rung measured, edited and sealed by one who can hash, does not follow from its runs."""
    folder = ReleaseFolder(path)
    records = {key: record for key in Store(folder).files() if (record := Store(folder).read(key)) is not None}
    record = records["rung-Q4_0"]
    better = [{**task, "loss": task["loss"] - 0.5} for task in record.facts["tasks"]]
    edited = {**records, "rung-Q4_0": replace(record, facts={**record.facts, "tasks": better})}
    space_ = from_json(folder.content()["search"])
    assert list(problems(folder, space_, records)) == []
    assert {file for file, _ in problems(folder, space_, edited)} == {"stages/rung-Q4_0", "search.json"}
