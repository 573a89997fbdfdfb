"""How far judges agree with people: by hand and by other libraries' numbers, with everything left out counted."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import krippendorff
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

import assay
from assay.cli.main import run as cli
from assay.judging.agreement import Content, Settings, agreement, middle
from assay.judging.ratings import Judge, Ratings, Unit, lines, parse
from support.judges import judge, model, person
from support.judging import RUBRIC, run
from support.stub import Stub

FAST = Settings(resamples=100)
CONTENT = Content.read(RUBRIC.content)


def ada(index: int):
    return {"fit": 1 + index % 3, "ease": (index % 5) / 4}


def bob(index: int):
    return {"fit": 1 + (index + (index % 7 == 0)) % 3, "ease": (index % 5) / 4}


def machine(index: int):
    return {"fit": 1 + (index + (index % 4 == 0)) % 3, "ease": ((index + index % 2) % 5) / 4}


@pytest.fixture(scope="module")
def judged_run(tmp_path_factory: pytest.TempPathFactory) -> assay.Run:
    folder = tmp_path_factory.mktemp("agreement")
    with Stub() as stub:
        made = run(folder, stub, 60)
    judge(made.path, person("ada"), ada)
    judge(made.path, person("bob"), lambda index: bob(index) if index < 40 else None)
    judge(made.path, model(), lambda index: machine(index) if index != 5 else None, flag=lambda index: index % 3 == 0)
    return made


def told(capsys: pytest.CaptureFixture[str], *arguments: object):
    capsys.readouterr()
    code = cli(["judge", "agreement", *map(str, arguments), "--json"])
    return code, orjson.loads(capsys.readouterr().out)


def test_a_model_against_people_as_other_libraries_have_it(judged_run, capsys):
    code, found = told(capsys, judged_run.path, "--judge", "auto")
    assert code == 0
    (row,) = found["judges"]
    indices = [index for index in range(60) if index != 5]
    people = [min(ada(index)["fit"], bob(index)["fit"]) if index < 40 else ada(index)["fit"] for index in indices]
    own = [machine(index)["fit"] for index in indices]
    fit = row["dimensions"]["fit"]
    assert (row["judge"]["identity"], row["units"]) == (model()["identity"], 59)
    assert fit["kappa"]["value"] == pytest.approx(cohen_kappa_score(people, own, weights="quadratic", labels=[1, 2, 3]))
    alpha = krippendorff.alpha([people, own], level_of_measurement="ordinal")
    assert fit["alpha"]["value"] == pytest.approx(alpha)
    assert fit["exact"]["value"] == pytest.approx(mean(a == b for a, b in zip(people, own, strict=True)))
    assert fit["bias"]["value"] == pytest.approx(mean(own) - mean(people))
    assert all(
        fit[name]["low"] < fit[name]["value"] < fit[name]["high"] for name in ("kappa", "alpha", "exact", "bias")
    )
    ease = [[min(ada(i)["ease"], bob(i)["ease"]) for i in indices], [machine(i)["ease"] for i in indices]]
    assert row["dimensions"]["ease"]["kappa"] == {
        "value": None, "low": None, "high": None, "n": 0, "clusters": None, "method": None,
        "reason": "the scale is not of whole numbers: kappa is for levels",
    }  # fmt: skip
    interval = krippendorff.alpha(ease, level_of_measurement="interval")
    assert row["dimensions"]["ease"]["alpha"]["value"] == pytest.approx(interval)
    assert row["excluded"] == {"not_judged_by_the_judge": 1}
    assert row["people"] == {"ada": 60, "bob": 40}


def test_the_composite_is_that_of_the_scores_with_what_was_measured(judged_run, capsys):
    _, found = told(capsys, judged_run.path, "--judge", "auto")
    right = {entry.attempt["index"]: entry.scores[0]["metrics"]["accuracy"] for entry in judged_run}
    both = []
    for index in set(range(60)) - {5}:
        people = [ada(index), *([bob(index)] if index < 40 else [])]
        lower = {name: min(one[name] for one in people) for name in ("fit", "ease")}
        both.append([one["fit"] + one["ease"] + 2 * right[index] for one in (lower, machine(index))])
    composite = found["judges"][0]["dimensions"]["composite"]
    assert composite["bias"]["value"] == pytest.approx(mean(own - said for said, own in both))
    assert composite["exact"]["value"] == pytest.approx(mean(own == said for said, own in both))
    assert (composite["units"], composite["unmeasured"]) == (59, 0)


def test_people_are_held_against_each_other_and_are_the_ceiling(judged_run, capsys):
    _, found = told(capsys, judged_run.path)
    rows = {row["judge"]["name"]: row for row in found["judges"]}
    assert list(rows) == ["auto", "ada", "bob"]
    first = rows["ada"]["dimensions"]["fit"]
    said = [[one(index)["fit"] for index in range(40)] for one in (ada, bob)]
    assert first["kappa"]["value"] == pytest.approx(cohen_kappa_score(*said, weights="quadratic"))
    assert rows["ada"]["excluded"]["not_judged_by_people"] == 20
    ceiling = rows["auto"]["ceiling"]
    assert ceiling["units"] == 40
    alpha = krippendorff.alpha(said, level_of_measurement="ordinal")
    assert ceiling["dimensions"]["fit"]["alpha"]["value"] == pytest.approx(alpha)


def test_votes_and_self_preference_are_told(judged_run, capsys):
    _, found = told(capsys, judged_run.path, "--judge", model()["identity"][:12])
    (row,) = found["judges"]
    assert row["votes"]["dimensions"]["fit"] == {"mean_spread": 0, "largest_spread": 0, "unanimous": 1}
    own = row["self_preference"]
    apart = {}
    for index in set(range(60)) - {5}:
        people = min(ada(index)["fit"], bob(index)["fit"]) if index < 40 else ada(index)["fit"]
        apart.setdefault(index % 3 == 0, []).append(machine(index)["fit"] - people)
    assert (own["flagged"], own["own"], own["others"]) == (20, 20, 39)
    assert own["dimensions"]["fit"]["difference"]["value"] == pytest.approx(mean(apart[True]) - mean(apart[False]))


def test_epochs_of_a_sample_are_one_cluster(tmp_path: Path, stub: Stub, capsys):
    made = run(tmp_path, stub, 12, epochs=3, sampling={"temperature": 1.0})
    judge(made.path, person("ada"), ada)
    judge(made.path, model(), machine)
    _, found = told(capsys, made.path, "--judge", "auto")
    kappa = found["judges"][0]["dimensions"]["fit"]["kappa"]
    assert (kappa["n"], kappa["clusters"]) == (36, 12)


def test_for_people_it_is_a_table(judged_run, capsys):
    assert cli(["judge", "agreement", str(judged_run.path)]) == 0
    said = capsys.readouterr().out
    assert "fit-v1" in said and "people: fit" in said and "not judged by the judge: 1" in said
    assert "flagged for self-preference: 20" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no run is named"),
        (["{run}", "--judge", "eve"], "nobody called 'eve' judged"),
        (["{run}", "--rubric", "tip-v1"], "does not carry the rubric"),
        (["{run}", "{run}"], "has the plan of"),
        (["{run}", "--out", "{tmp}/a"], "there is no decision to seal"),
        (["--ratings", "r.csv", "--policy", "p.yaml"], "admit no judge"),
        (["{run}", "--ratings", "r.csv"], "stands in the place of runs"),
        (["{tmp}"], "not a run"),
    ],
)
def test_what_is_refused(judged_run, tmp_path: Path, capsys, arguments, message):
    named = [one.format(run=judged_run.path, tmp=tmp_path) for one in arguments]
    code, found = told(capsys, *named)
    assert (code, message in found["message"]) == (2, True), found


def test_a_run_that_was_changed_is_refused(tmp_path: Path, stub: Stub, capsys):
    made = run(tmp_path, stub, 3)
    judge(made.path, person("ada"), ada)
    path = made.path / "judgements" / "0000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"fit":1', b'"fit":2'))
    code, found = told(capsys, made.path)
    assert (code, found["failure_class"]) == (1, "EVIDENCE_INVALID")


@pytest.mark.parametrize(
    "change", [{"identity": "0" * 64}, {"votes": 5}, {"kind": "oracle"}, {"identity": None}]
)  # fmt: skip
def test_a_judge_that_does_not_say_truly_who_it_is_is_refused(tmp_path: Path, stub: Stub, capsys, change):
    made = run(tmp_path, stub, 3)
    judge(made.path, person("ada"), ada)
    judge(made.path, {**model(), **change}, machine)
    code, found = told(capsys, made.path)
    assert (code, "does not say who judged" in found["message"]) == (1, True)


def test_one_person_alone_has_nobody_to_agree_with(tmp_path: Path, stub: Stub, capsys):
    made = run(tmp_path, stub, 3)
    judge(made.path, person("ada"), ada)
    code, found = told(capsys, made.path)
    assert (code, "nobody to hold against people" in found["message"]) == (2, True)


SCORES = st.fixed_dictionaries({"fit": st.integers(1, 3), "ease": st.sampled_from([0, 0.25, 0.5, 1])})
UNITS = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("abc"), SCORES), st.one_of(st.none(), SCORES), st.integers(0, 3)),
    max_size=12,
)


@given(UNITS)
def test_any_ratings_have_numbers_or_reasons_and_survive_being_stored(rows):
    units = tuple(
        Unit(f"u{n}", f"s{cluster}", "r", people, own, {"right": n % 2})
        for n, (people, own, cluster) in enumerate(rows)
    )
    ratings = Ratings(Judge("auto", "model", "i"), units)
    found = agreement(ratings, CONTENT, FAST)
    again = parse([orjson.loads(line) for line in lines(units)], CONTENT.names)
    assert again == units
    assert orjson.dumps(agreement(Ratings(ratings.judge, again), CONTENT, FAST)) == orjson.dumps(found)
    assert found["units"] == sum(bool(people) and own is not None for people, own, _ in rows)
    for dimension in found["dimensions"].values():
        for name in ("kappa", "alpha", "exact", "bias"):
            one = dimension[name]
            assert (one["value"] is None) <= (one["reason"] is not None or not found["units"])
            assert one["low"] is None or one["high"] is None or one["low"] <= one["high"]


@given(st.lists(st.integers(1, 5), min_size=1))
def test_the_people_s_word_is_one_that_somebody_said_and_half_say_no_less(values):
    word = middle(values)
    assert word in values
    assert 2 * sum(value >= word for value in values) >= len(values) <= 2 * sum(value <= word for value in values)
