"""Gates on programs that two published models wrote, executed here."""

import os
from pathlib import Path

import pytest

from assay.evidence.read import read
from assay.gates.compare import gate
from assay.session import score_samples
from assay.stats.paired import PairedTable, tango
from support.gated import policy

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    if "ASSAY_DATA" not in os.environ:
        pytest.skip("ASSAY_DATA is not set: the public data sets are not here")
    samples = Path(os.environ["ASSAY_DATA"]) / "model-samples" / "poe-humaneval"
    folder = tmp_path_factory.mktemp("runs")
    names = ("qwen2.5-coder_7b", "codegemma_7b")
    return [read(score_samples("humaneval", samples / f"{name}.jsonl", out=folder / name).path) for name in names]


def told(result):
    return result.to_json()["numbers"]["tasks"][0]


def test_the_weaker_model_is_a_regression_with_the_exact_interval(runs):
    found = gate(*runs, policy(0.02))
    numbers = told(found)
    counts = [numbers[name] for name in ("lost", "won")]
    interval = tango(PairedTable(int(120 - counts[0]), *counts, int(164 - 120 - counts[1])))
    assert found.verdict == "REGRESSION"
    assert numbers["baseline"] == pytest.approx(120 / 164)
    assert (numbers["low"], numbers["high"]) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert numbers["high"] < -0.02


@pytest.mark.parametrize("side", [0, 1])
def test_each_against_itself_is_accepted_where_164_problems_allow_it(runs, side):
    assert gate(runs[side], runs[side], policy(0.02)).verdict == "ACCEPT"
    found = gate(runs[side], runs[side], policy(0.01))
    assert (found.verdict, told(found)["samples_needed"]) == ("INCONCLUSIVE", 299)


def test_the_stronger_one_is_too_good_to_be_true(runs):
    assert gate(runs[1], runs[0], policy(0.02)).verdict == "ANOMALOUS"
