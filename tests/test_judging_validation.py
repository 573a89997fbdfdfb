"""Recorded judges on public data: agreement as their authors published it, and as other libraries compute it."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import krippendorff
import orjson
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_recall_fscore_support

from assay.cli.main import run as cli

pytestmark = pytest.mark.data

ANNOTATORS = ("annotator1", "annotator2", "annotator3")
VERDICT = {"0": "tie", "1": "a", "2": "b", "Tie": "tie", "garbage": ""}


def measured(path: Path, rows: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `assay judge agreement --ratings` says of these rows, by rater."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["unit", "rater", "kind", "dimension", "value", "order"])
        writer.writeheader()
        writer.writerows({"dimension": "better", "order": "", **row} for row in rows)
    capsys.readouterr()
    assert cli(["judge", "agreement", "--ratings", str(path), "--json"]) == 0
    found = orjson.loads(capsys.readouterr().out)
    assert "admit no judge" in found["note"]
    return {row["judge"]["name"]: row for row in found["judges"]}


def pandalm(data: Path) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """The people's rows, and each judge's verdicts."""
    folder = data / "judge" / "pandalm"
    pairs = json.loads((folder / "testset-v1.json").read_bytes())
    rows = [
        {"unit": f"p{pair['idx']}", "rater": name, "kind": "person", "value": VERDICT[str(pair[name])]}
        for pair in pairs
        for name in ANNOTATORS
    ]
    judges = {}
    for name, key in (("gpt-3.5-turbo", "gpt_result"), ("pandalm-7b", "pandalm_result")):
        given = json.loads((folder / f"{name}-testset-v1.json").read_bytes())
        assert [str(one["idx"]) for one in given] == [str(pair["idx"]) for pair in pairs]
        judges[name] = [str(one[key]) for one in given]
    return rows, judges


def model_rows(judges: dict[str, list[str]], none: str) -> list[dict[str, Any]]:
    return [
        {"unit": f"p{place}", "rater": name, "kind": "model", "value": VERDICT[verdict] or none}
        for name, verdicts in judges.items()
        for place, verdict in enumerate(verdicts)
    ]


PUBLISHED = {"gpt-3.5-turbo": (0.7107, 0.5879, 0.5736, 0.5755), "pandalm-7b": (0.6677, 0.5738, 0.5750, 0.5743)}
"""Accuracy, and macro precision, recall and F1, as the authors gave them in the README with these recordings (2023)."""


def test_pandalm_as_published(data: Path, tmp_path: Path, capsys):
    people, judges = pandalm(data)
    # The authors took what was no verdict for a tie.
    found = measured(tmp_path / "r.csv", [*people, *model_rows(judges, "tie")], capsys)
    majority = [
        Counter(row["value"] for row in people[place : place + 3]).most_common(1)[0][0] for place in range(0, 2997, 3)
    ]
    for name, published in PUBLISHED.items():
        row = found[name]["dimensions"]["better"]
        own = [VERDICT[verdict] or "tie" for verdict in judges[name]]
        macro = precision_recall_fscore_support(majority, own, average="macro")[:3]
        assert row["units"] == 999
        figures = [row["accuracy"]["value"], *(row["macro"][part] for part in ("precision", "recall", "f1"))]
        assert figures == pytest.approx([accuracy_score(majority, own), *macro])
        assert [round(value, 4) for value in figures] == list(published)
        assert row["kappa"]["value"] == pytest.approx(cohen_kappa_score(majority, own))
        coded = [[["a", "b", "tie"].index(value) for value in column] for column in (majority, own)]
        assert row["alpha"]["value"] == pytest.approx(krippendorff.alpha(coded, level_of_measurement="nominal"))
        assert row["kappa"]["low"] < row["kappa"]["value"] < row["kappa"]["high"]


def test_what_is_no_verdict_is_left_out_and_counted(data: Path, tmp_path: Path, capsys):
    people, judges = pandalm(data)
    row = measured(tmp_path / "r.csv", [*people, *model_rows(judges, "")], capsys)["gpt-3.5-turbo"]
    better = row["dimensions"]["better"]
    assert (better["units"], better["excluded"]) == (974, {"not_judged_by_the_judge": 25})


def test_pandalm_people_among_themselves(data: Path, tmp_path: Path, capsys):
    people, _ = pandalm(data)
    found = measured(tmp_path / "r.csv", people, capsys)
    columns = [[VERDICT_CODES[row["value"]] for row in people[place::3]] for place in range(3)]
    ceiling = measured_ceiling(found)
    # A person's own row holds the other two: the annotator who is left out changes it.
    for place, name in enumerate(ANNOTATORS):
        others = [column for other, column in enumerate(columns) if other != place]
        alpha = krippendorff.alpha(others, level_of_measurement="nominal")
        assert ceiling[name]["alpha"]["value"] == pytest.approx(alpha)
        pairs = found[name]["dimensions"]["better"]
        assert pairs["excluded"]["no_majority"] == sum(one != other for one, other in zip(*others, strict=True))


@pytest.mark.parametrize(("one", "other", "published"), [(0, 1, 0.85), (0, 2, 0.88), (1, 2, 0.86)])
def test_pandalm_two_people_as_published(data: Path, tmp_path: Path, capsys, one: int, other: int, published: float):
    people, _ = pandalm(data)
    pair = [people[place::3] for place in (one, other)]
    found = measured(tmp_path / "r.csv", [*pair[0], *pair[1]], capsys)[ANNOTATORS[one]]["dimensions"]["better"]
    columns = [[row["value"] for row in rows] for rows in pair]
    assert found["kappa"]["value"] == pytest.approx(cohen_kappa_score(*columns))
    assert round(found["kappa"]["value"], 2) == published


VERDICT_CODES = {"a": 0, "b": 1, "tie": 2}


def measured_ceiling(found: dict[str, Any]) -> dict[str, Any]:
    return {name: row["ceiling"]["dimensions"]["better"] for name, row in found.items()}


LLMBAR = {
    ("Neighbor", "GPT-4", "Vanilla_NoRules"): (87, 85, 79, 120),
    ("Neighbor", "GPT-4", "Metrics_Reference"): (115, 114, 111, 127),
    ("Neighbor", "ChatGPT", "Vanilla_NoRules"): (25, 23, 6, 98),
    ("Neighbor", "ChatGPT", "Metrics_Reference"): (54, 48, 23, 78),
    ("Neighbor", "LLaMA2", "Vanilla_NoRules"): (26, 25, 17, 117),
    ("Neighbor", "LLaMA2", "Metrics_Reference"): (47, 49, 26, 90),
    ("Manual", "GPT-4", "Vanilla_NoRules"): (34, 35, 32, 41),
    ("Manual", "GPT-4", "Metrics_Reference"): (37, 40, 35, 39),
    ("Manual", "ChatGPT", "Vanilla_NoRules"): (17, 17, 5, 22),
    ("Manual", "ChatGPT", "Metrics_Reference"): (19, 21, 7, 20),
    ("Manual", "LLaMA2", "Vanilla_NoRules"): (15, 13, 7, 32),
    ("Manual", "LLaMA2", "Metrics_Reference"): (18, 22, 12, 30),
}
"""Right in the one order, in the other, in both, and the same in both: the authors' statistics.json (Zeng and others
2024), from which their tables are.
"""


@pytest.mark.parametrize("part", ["Neighbor", "Manual"])
@pytest.mark.parametrize("method", ["Vanilla_NoRules", "Metrics_Reference"])
@pytest.mark.parametrize("judge", ["GPT-4", "ChatGPT", "LLaMA2"])
def test_llmbar_with_the_order_swapped(data: Path, tmp_path: Path, capsys, part: str, method: str, judge: str):
    path = data / "judge" / "llmbar" / f"Adversarial_{part}.{judge}.{method}.result.json.gz"
    results = json.loads(gzip.decompress(path.read_bytes()))
    rows, verdicts = [], []
    for place, one in enumerate(results):
        last = one["results"][-1]
        pair = [VERDICT[last[f"swap = {swap}"]["winner"]] for swap in (False, True)]
        verdicts.append((*pair, VERDICT[str(one["label"])]))
        rows.append({"unit": f"i{place}", "rater": "gold", "kind": "person", "value": verdicts[-1][2]})
        for order, value in zip(("ab", "ba"), pair, strict=True):
            rows.append({"unit": f"i{place}", "rater": judge, "kind": "model", "value": value, "order": order})
    found = measured(tmp_path / "r.csv", rows, capsys)[judge]["dimensions"]["better"]
    accuracy = mean(((one == gold) + (other == gold)) / 2 for one, other, gold in verdicts)
    apart = sum(one != other for one, other, _ in verdicts)
    order = found["order"]
    assert order["mean_accuracy"] == pytest.approx(accuracy)
    assert (order["inconsistent"]["count"], order["inconsistent"]["n"]) == (apart, len(results))
    # Inconsistent pairs are ties, and the gold label is never one.
    both = mean(one == other == gold for one, other, gold in verdicts)
    assert found["accuracy"]["value"] == pytest.approx(both)
    assert found["classes"].get("tie", {}).get("judge", 0) == apart
    n = len(results)
    first, second = (order["by_order"][name]["accuracy"] * n for name in ("ab", "ba"))
    counts = (first, second, found["accuracy"]["value"] * n, n - order["inconsistent"]["count"])
    assert counts == pytest.approx(LLMBAR[part, judge, method])
