from __future__ import annotations

import re

import pytest

from assay.report.timing import bins, latencies, throughput
from test_report_inputs import made_up


def test_bins_hold_every_timed_attempt_and_touch_one_another():
    cell = made_up(samples=200).results["cells"][0]
    found = bins(cell)
    assert sum(each.number for each in found) == cell["finished"]
    assert all(each.high / each.low == pytest.approx(10**0.1) for each in found)


def test_a_single_bucket_is_drawn():
    cell = made_up(samples=1, bad=0.0).results["cells"][0]
    assert len(bins(cell)) == 1 and "<rect" in latencies([cell])


def test_the_axis_has_round_ticks_and_at_least_two():
    cell = made_up(samples=3, bad=0.0).results["cells"][0] | {"latency_histogram": [[0.01, 3], [0.1, 0], [1.0, 1]]}
    assert re.findall(r"<text[^>]*>([^<]+)", latencies([cell])) == ["1 ms", "10 ms", "100 ms", "1 s"]
    near = cell | {"latency_histogram": [[0.5, 3], [0.6, 1]]}
    assert re.findall(r"<text[^>]*>([^<]+)", latencies([near])) == ["417 ms", "600 ms"]


def test_bars_are_as_high_as_their_numbers():
    cell = made_up(samples=300).results["cells"][0]
    heights = [float(height) for height in re.findall(r' height="([\d.]+)" class="bar"', latencies([cell]))]
    numbers = [each.number for each in bins(cell)]
    for height, number in zip(heights, numbers, strict=True):
        assert height / max(heights) == pytest.approx(number / max(numbers), abs=0.03)


def test_the_average_counts_from_the_start_of_the_run():
    text = throughput([[10.0, 50, 400], [20.0, 100, 1000]])
    assert "5 on average" in text and "50 on average" in text and "0.0 s" in text and "20.0 s" in text


def test_rates_are_what_was_gained_in_each_step():
    text = throughput([[1.0, 10, 0], [2.0, 10, 0], [4.0, 50, 0]])
    line = re.findall(r'<polyline points="([^"]+)"', text)[1].split()
    heights = [100 - float(point.split(",")[1]) for point in line]
    assert heights[0] == heights[1] and heights[-1] == max(heights) > heights[0]
    assert re.findall(r"<text[^>]*>([^<]+)", text)


def test_points_at_one_moment_do_no_harm():
    assert "on average" in throughput([[1.0, 1, 1], [1.0, 2, 2], [3.0, 3, 3]])
