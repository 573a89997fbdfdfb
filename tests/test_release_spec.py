"""The spec of a release: strict, every error by its line, and one digest for one meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.errors import ConfigError
from assay.gates.health import Limits
from assay.release import actions
from assay.release.feasible import Room, again, feasible
from assay.release.resolve import resolve, resolved
from assay.release.spec import parse
from support.releasing import BASIC

EXAMPLE = Path(__file__).parent.parent / "examples" / "release-smollm2.yaml"


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "release.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def written(**changes: Any) -> str:
    return yaml.safe_dump({**BASIC, **changes}, sort_keys=False)


def test_the_example_is_one_and_its_candidates_are_six() -> None:
    release = resolve(EXAMPLE)
    assert [recipe.name for recipe in release.recipes] == ["Q8_0", "Q6_K", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"]
    assert release.levels.level() == pytest.approx(0.05 / 6)
    assert release.path(None).name == f"smollm2-{release.digest[:8]}"


def test_the_example_of_a_folder_means_what_it_says() -> None:
    release = resolve(EXAMPLE.with_name("release-safetensors.yaml"))
    assert [recipe.quantizer for recipe in release.recipes] == ["llmcompressor"]
    assert (release.deployer.name, release.settings.threads) == ("transformers", 1)


def test_the_same_meaning_has_the_same_digest_and_another_one_has_not() -> None:
    first = resolved(parse(BASIC))
    assert resolved(parse({**BASIC, "seed": 0, "stop": "all"})).digest == first.digest
    assert resolved(parse({**BASIC, "seed": 1})).digest != first.digest
    changed = {"schema": "assay.policy.v1", "defaults": {"margin": 0.03}}
    assert resolved(parse({**BASIC, "policy": changed})).digest != first.digest


def test_a_policy_may_be_a_file_and_means_the_same(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(BASIC["policy"]))
    named = resolved(parse({**BASIC, "policy": str(tmp_path / "policy.yaml")}))
    assert named.digest == resolved(parse(BASIC)).digest


@pytest.mark.parametrize(
    ("changes", "at", "said"),
    [
        ({"candidates": ["Q8_O"]}, "Q8_O", "did you mean 'Q8_0'"),
        ({"candidates": ["Q4_0", "Q8_0", "Q8_0"]}, "- Q8_0", "appears twice"),
        ({"candidates": [{"recipe": "Q8_0", "name": "baseline"}]}, "recipe: Q8_0", "what the source is called"),
        ({"candidates": []}, "schema: assay.release", "give candidates (a list of recipes) or search"),
        ({"candidates": [{"recipe": "Q8_0", "quantizer": "modelopt"}]}, "modelopt", "a recipe of gguf"),
        ({"candidate": ["Q8_0"]}, "candidate:", "did you mean 'candidates'"),
        ({"schema": "assay.release.v2"}, "v2", "must be assay.release.v1"),
        ({"source": 5}, "source", "must be a path, a hub id or a built-in model"),
        ({"tasks": ["arc_easi"]}, "arc_easi", "did you mean 'arc_easy'"),
        ({"tasks": []}, "tasks", "a list of at least one"),
        ({"stop": "soon"}, "soon", "must be all or first_accept"),
        ({"samples": {"rounds": 9}}, "rounds", "≤ 5"),
        ({"until_decided": True, "samples": {"rounds": 2}}, "schema: assay.release", "samples.rounds stays 1"),
        ({"serving": {"deployer": "llama"}}, "deployer", "did you mean 'llamacpp'"),
        ({"serving": {"settings": {"slot": 2}}}, "slot", "did you mean 'slots'"),
        ({"serving": {"settings": {"slots": 0}}}, "slots", "slots"),
        ({"serving": {"settings": {"slots": "many"}}}, "slots", "int"),
        ({"serving": {"settings": {"extra": "--a 'b"}}}, "extra", "No closing quotation"),
        ({"serving": {"settings": {"alone": False}}}, "alone", "the release sets it"),
        ({"serving": {"deployer": "external"}}, "external", "every candidate would be the same model"),
        ({"serving": {"health": {"perplexity": 0.5}}}, "perplexity", "a number from 1"),
        ({"serving": {"health": {"perplexety": 5.0}}}, "perplexety", "did you mean 'perplexity'"),
        ({"policy": {"schema": "assay.policy.v1", "defaults": {"marginn": 0.1}}}, "marginn", "unknown key"),
        ({"policy": {"schema": "assay.policy.v1"}}, "policy:", "gates nothing"),
        ({"max_candidates": 0}, "max_candidates", "≥ 1"),
        ({"search": {"recipes": ["Q8_0"]}}, "schema: assay.release", "one of the two"),
    ],
)
def test_what_is_wrong_is_told_by_its_line(tmp_path: Path, changes: dict[str, Any], at: str, said: str) -> None:
    text = written(**changes)
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert said in found[0]
    lines = [number for number, line in enumerate(text.splitlines(), 1) if at in line]
    assert int(found[0].partition(":")[0]) in lines, (found, text)


def test_a_secret_in_a_spec_is_refused_and_not_shown(tmp_path: Path) -> None:
    key = "ghp_" + "a1B2c3D4e5F6a1B2c3D4e5F6a1B2c3D4e5F6"
    found = problems(tmp_path, written(description=key))
    assert "looks like" in found[0]
    assert key not in found[0]


def test_several_problems_are_told_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, written(candidates=["Q8_O"], tasks=["arc_easi"], policy={"schema": "x"}))) >= 3


# --- feasible ---


def test_too_few_samples_for_the_margin_are_told_beforehand() -> None:
    release = resolved(parse(BASIC))
    found = feasible({"arc_easy": 200}, release.policy, release.levels, Room())
    assert found.verdict == "INFEASIBLE"
    assert "203 at least" in found.reasons[0]
    assert feasible({"arc_easy": 203}, release.policy, release.levels, Room()).verdict == "PASS"


def test_a_policy_that_demands_a_decision_counts_what_may_change() -> None:
    policy = {**BASIC["policy"], "must_decide": True, "discordance": 0.1}
    release = resolved(parse({**BASIC, "policy": policy}))
    found = feasible({"arc_easy": 400}, release.policy, release.levels, Room())
    assert found.verdict == "INFEASIBLE"
    assert "it takes about" in found.reasons[0]


def test_weights_that_fit_nowhere_are_told_beforehand() -> None:
    release = resolved(parse(BASIC))
    room = Room(memory_needed=10**12, memory=10**9, disk_needed=10**12, disk=10**9)
    found = feasible({"arc_easy": 1000}, release.policy, release.levels, room)
    assert [check.name for check in found.checks if check.ok is False] == ["memory", "disk"]
    assert room.lacking() is None


def test_what_is_taken_up_just_now_is_no_verdict() -> None:
    release = resolved(parse(BASIC))
    there = {"memory_needed": 10**9, "memory": 10**10, "disk_needed": 10**9, "disk": 10**10}
    room = Room(**there, memory_free=10**8, disk_free=10**8)
    assert feasible({"arc_easy": 1000}, release.policy, release.levels, room).verdict == "PASS"
    told = str(room.lacking())
    assert "of memory, and 0.1 GB are free" in told
    assert "on the disk" in told
    assert Room(**there, memory_free=10**9, disk_free=10**9).lacking() is None


@pytest.mark.parametrize("samples", [200, 1000])
@pytest.mark.parametrize("room", [Room(), Room(memory_needed=5, memory=4), Room(disk_needed=5, disk=9)])
def test_what_is_told_beforehand_follows_from_what_it_says_it_was_asked_of(samples: int, room: Room) -> None:
    release = resolved(parse(BASIC))
    found = feasible({"arc_easy": samples}, release.policy, release.levels, room)
    assert again(found.to_json(), release.policy, release.levels).to_json() == found.to_json()
    forged = {**found.to_json(), "verdict": "PASS" if found.verdict == "INFEASIBLE" else "INFEASIBLE"}
    assert again(forged, release.policy, release.levels).to_json() != forged


def test_a_candidate_is_held_to_limits_for_as_many_bits_as_its_recipe_has() -> None:
    release = resolved(parse({**BASIC, "candidates": ["Q8_0", "Q4_0", "Q2_K"]}))
    ratios = [release.limits(recipe).perplexity_ratio for recipe in release.recipes]
    assert ratios == sorted(ratios)
    assert ratios[0] < ratios[-1]
    assert release.limits(None) == Limits()
    own = resolved(parse({**BASIC, "serving": {"health": {"perplexity_ratio": 1.7}}}))
    assert {own.limits(recipe).perplexity_ratio for recipe in own.recipes} == {1.7}
    assert own.limits(own.recipes[0]).passage_ratio == Limits.of(own.recipes[0].bits).passage_ratio


# --- rules ---


def _table(**changes: Any) -> dict[str, Any]:
    table = yaml.safe_load(actions.FILE.read_text())
    return {**table, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": {"UNKNOWN": {"then": "anomalous", "baseline": "anomalous"}}},
        {"rules": {**_table()["rules"], "BAD_LUCK": {"then": "abort", "baseline": "abort"}}},
        {"rules": {**_table()["rules"], "UNKNOWN": {"then": "skip the gate", "baseline": "abort"}}},
        {"rules": {**_table()["rules"], "UNKNOWN": {"first": "retry", "then": "abort", "baseline": "abort"}}},
        {"patches": [{"failure": "UNKNOWN", "quantizer": "gguf", "scheme": "Q8_0", "why": "nothing"}]},
        {"schema": "assay.actions.v2"},
        {"bypass": True},
    ],
)
def test_rules_that_are_not_whole_or_unknown_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        actions.parse(_table(**changes))
