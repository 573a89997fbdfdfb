"""The rule itself: its size where it must not decide, by simulation, and the order of its verdicts."""

import numpy as np
import pytest

from assay.gates.decision import Case, decide, margin_for
from assay.gates.estimate import Estimate
from assay.gates.policy import parse
from support.gated import policy

RUNS = 2000
SLACK = 3 * (0.05 * 0.95 / RUNS) ** 0.5
"""Three Monte-Carlo standard errors of a rate of 5 %."""


def pairs(random, n, right, lost, won):
    """n pairs, `right` of the baseline's right, of which the candidate loses a share; `won` of all are won."""
    base = random.random(n) < right
    draw = random.random(n)
    other = np.where(base, draw >= lost / right, draw < won / (1 - right))
    return base.astype(float), other.astype(float)


def verdicts(n, right, lost, won, held, clusters=1):
    """How often each verdict comes out."""
    random = np.random.default_rng(5)
    found = []
    for _ in range(RUNS):
        base, other = pairs(random, n, right, lost, won)
        label = None
        if clusters > 1:  # every sample tried so often, always with the same end
            base, other = np.tile(base, clusters), np.tile(other, clusters)
            label = np.tile(np.arange(n), clusters)
        seen = Estimate(base, other, label, True, (0.0, 1.0))
        margin = margin_for(held.task("t"), seen, held.alpha, point=held.rule == "point")
        if margin is None:
            found.append("none")
            continue
        found.append(str(decide([Case(seen, seen, seen, margin)], held)[0].verdict))
    return {name: found.count(name) / RUNS for name in ("ACCEPT", "REGRESSION", "INCONCLUSIVE", "none")}


@pytest.mark.slow
@pytest.mark.parametrize(("n", "clusters"), [(100, 1), (400, 1), (100, 3)])
def test_a_loss_of_just_the_margin_is_rarely_accepted(n, clusters):
    found = verdicts(n, 0.7, 0.09, 0.04, parse(policy(0.05)), clusters)
    assert found["ACCEPT"] <= 0.05 + SLACK


@pytest.mark.slow
@pytest.mark.parametrize(("n", "clusters"), [(50, 1), (400, 1), (50, 3)])
def test_no_difference_is_rarely_a_regression(n, clusters):
    found = verdicts(n, 0.7, 0.05, 0.05, parse(policy(0.02)), clusters)
    assert found["REGRESSION"] <= 0.05 + SLACK


@pytest.mark.slow
def test_a_loss_of_just_the_relative_margin_is_rarely_accepted():
    held = parse({"schema": "assay.policy.v1", "defaults": {"relative_margin": 0.1}})
    assert verdicts(300, 0.5, 0.1, 0.05, held)["ACCEPT"] <= 0.05 + SLACK


@pytest.mark.slow
def test_what_is_to_be_seen_is_seen():
    held = parse(policy(0.05))
    assert verdicts(800, 0.7, 0.02, 0.02, held)["ACCEPT"] > 0.95
    assert verdicts(400, 0.7, 0.15, 0.02, held)["REGRESSION"] > 0.95
