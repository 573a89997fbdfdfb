from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.run.timing import MOST_POINTS, Clock, Histogram, Timeline


def line(finished: float, took: float = 0.5, session: int = 0, tokens: int = 2) -> dict[str, object]:
    return {"finished": finished, "latency_s": took, "session": session, "completion": {"tokens_out": tokens}}


def test_pauses_between_sessions_do_not_count() -> None:
    clock = Clock()
    clock.add(0, 100, 105)
    clock.add(0, 101, 110)
    clock.add(1, 5000, 5001)
    assert clock.seconds == 11


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_the_timeline_keeps_every_attempt_in_few_points(times: list[float]) -> None:
    timeline = Timeline()
    for at in times:
        timeline.add(line(1e9 + at))
    points = timeline.points()
    assert 1 <= len(points) <= MOST_POINTS
    assert points[-1][1:] == [len(times), 2 * len(times)]
    assert points == sorted(points)


def test_the_start_is_told_in_utc() -> None:
    timeline = Timeline()
    assert timeline.started is None
    timeline.add(line(1_000_000_000.5))
    assert timeline.started == "2001-09-09T01:46:40+00:00"
    assert timeline.seconds == pytest.approx(0.5)


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=50))
def test_the_histogram_counts_everything_in_the_right_bucket(seconds: list[float]) -> None:
    histogram = Histogram()
    for value in seconds:
        histogram.add(value)
    buckets = histogram.buckets()
    assert sum(count for _, count in buckets) == len(seconds)
    assert buckets[-1][0] >= max(seconds) * (1 - 1e-6)
    assert [edge for edge, _ in buckets] == sorted(edge for edge, _ in buckets)
