"""What looks may decide, with the errors that they make: simulated on the decision function itself."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from assay.gates.decision import Margin
from assay.gates.looks import Course, Seen, follow, levels, together
from assay.gates.policy import parse
from assay.gates.result import Verdict
from assay.stats.power import samples_for
from support.gated import policy

MARGIN = 0.05
ALPHA = 0.05
DECIDED = (Verdict.ACCEPT, Verdict.REGRESSION)


def course(gains, task="t", best=None, margin=MARGIN):
    share = Fraction(str(margin))
    worst = np.asarray(gains, dtype=float)
    best = worst if best is None else np.asarray(best, dtype=float)
    return Course(task, worst, best, Margin(share, share, share), 1.0)


def drawn(numbers, n, discordance, delta):
    chances = [(discordance - delta) / 2, 1 - discordance, (discordance + delta) / 2]
    return numbers.choice([-1.0, 0.0, 1.0], n, p=chances)


def stopped(courses, block, held):
    """The verdict at the first look that decides, and after how many samples; that of the last look where none does."""
    n = len(courses[0].worst)
    cuts = [dict.fromkeys((each.task for each in courses), min(n, k)) for k in range(block, n + block, block)]
    looks = follow(courses, cuts, held, len(cuts))
    found = next((look for look in looks if look.verdict in DECIDED), looks[-1])
    return found.verdict, found.seen[0].samples


def rates(deltas, runs=200, n=480, discordance=0.15, block=40, seed=1, **more):
    """How often runs of several tasks with these true gains are accepted, and called regressions."""
    numbers, held = np.random.default_rng(seed), parse(policy(MARGIN, **more))
    found = []
    for _ in range(runs):
        tasks = [course(drawn(numbers, n, discordance, delta), f"t{number}") for number, delta in enumerate(deltas)]
        found.append(stopped(tasks, block, held)[0])
    return found.count(Verdict.ACCEPT) / runs, found.count(Verdict.REGRESSION) / runs


def slack(runs=200):
    return 2.6 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


@pytest.mark.parametrize("deltas", [(-MARGIN,), (-MARGIN, 0.05), (-MARGIN, -MARGIN)])
def test_a_loss_of_the_margin_is_accepted_no_more_often_than_alpha(deltas):
    """Also where a second task is fine, or lost as much: accepting takes all of them, so nothing is corrected."""
    assert rates(deltas)[0] <= ALPHA + slack()


@pytest.mark.parametrize("more", [{}, {"sequential": {"stop_on": "loss"}}])
@pytest.mark.parametrize("tasks", [1, 3])
def test_no_loss_is_called_a_regression_no_more_often_than_alpha(tasks, more):
    """Over all tasks together, and also where any loss beyond chance ends the run."""
    runs = 200 if tasks == 1 else 120
    assert rates((0.0,) * tasks, runs=runs, **more)[1] <= ALPHA + slack(runs)


def test_a_loss_within_the_margin_is_no_matter_of_luck():
    """A real loss of half the margin: while samples are left only the margin decides, so it is accepted."""
    accepted, called = rates((-MARGIN / 2,), n=4800, block=160, runs=50)
    assert accepted > 0.9
    assert called < 0.1
    assert rates((-MARGIN / 2,), n=4800, block=160, runs=50, sequential={"stop_on": "loss"})[1] > 0.3


def test_clear_effects_take_a_fraction_of_the_samples():
    """Against the plan of fixed size that decides with 80 % power if the two are equal (428 and 495 samples)."""
    numbers, held = np.random.default_rng(3), parse(policy(MARGIN))
    for discordance, delta, verdict, share in ((0.2, -0.2, Verdict.REGRESSION, 0.5), (0.15, 0.1, Verdict.ACCEPT, 0.5)):
        fixed = samples_for(MARGIN, discordance)
        found = [stopped([course(drawn(numbers, fixed, discordance, delta))], 20, held) for _ in range(60)]
        assert sum(each == verdict for each, _ in found) >= 54
        assert np.mean([samples for _, samples in found]) < share * fixed


def test_at_the_end_of_the_plan_a_loss_beyond_chance_is_a_regression():
    gains = [-1.0] * 30 + [0.0] * 170
    order = np.random.default_rng(5).permutation(gains)
    one = [course(order, margin=0.2)]
    held, cuts = parse(policy(0.2)), [{"t": number} for number in (50, 100, 150, 200)]
    wide, narrow = follow(one, cuts, held, 5), follow(one, cuts, held, 4)
    assert wide[:3] == narrow[:3]
    assert wide[3].seen[0].high < 0
    tight = [course(order, margin=0.14)]
    assert follow(tight, cuts, held, 5)[3].verdict is Verdict.INCONCLUSIVE
    assert follow(tight, cuts, held, 4)[3].verdict is Verdict.REGRESSION


def test_a_missing_score_is_the_worst_for_accepting_and_the_best_for_rejecting():
    held, cuts = parse(policy(MARGIN)), [{"t": 300}]
    whole = follow([course([0.0] * 300)], cuts, held, 1)[0].seen[0]
    holes = follow([course([0.0] * 270 + [-1.0] * 30, best=[0.0] * 270 + [1.0] * 30)], cuts, held, 1)[0].seen[0]
    assert (whole.verdict, holes.verdict) == (Verdict.ACCEPT, Verdict.INCONCLUSIVE)
    assert holes.low < whole.low < whole.high < holes.high


def test_several_tasks_together():
    def seen(verdict, low=-0.1, high=0.1):
        return Seen("t", 10, low, high, verdict)

    accept, worse, open_ = seen(Verdict.ACCEPT), seen(Verdict.REGRESSION), seen(Verdict.INCONCLUSIVE)
    assert together([accept, accept]) is Verdict.ACCEPT
    assert together([accept, open_]) is Verdict.INCONCLUSIVE
    assert together([accept, open_, worse]) is Verdict.REGRESSION
    assert together([seen(Verdict.ACCEPT, 0.2, 0.1), worse]) is Verdict.ANOMALOUS
    assert together([]) is Verdict.INCONCLUSIVE


def test_what_alpha_is_split_over():
    assert levels(4, parse(policy())) == (0.05, 0.0125)
    assert levels(4, parse(policy(correction="none"))) == (0.05, 0.05)


def test_a_small_task_that_gets_nothing_new_keeps_its_bounds():
    small, large = course([0.0] * 3, "small"), course([0.0] * 90, "large")
    looks = follow([small, large], [{"small": 1, "large": 30}, {"small": 1, "large": 60}], parse(policy()), 3)
    first, second = (look.seen[0] for look in looks)
    assert (first.low, first.high) == (second.low, second.high)
    assert looks[1].seen[1].high < looks[0].seen[1].high
