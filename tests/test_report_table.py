from __future__ import annotations

import io

import pytest
from rich.console import Console

from assay.report.table import table
from test_report_inputs import made_up


def printed(results, width, encoding="utf-8"):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width).print(table(results))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [80, 116, 160])
def test_every_cell_shows_its_figures_within_the_width(width):
    run = made_up(models=("smollm2-135m", "openai:gpt-4.1-mini"), bad=0.2)
    text = printed(run.results, width)
    assert max(map(len, text.splitlines())) <= width
    joined = " ".join(text.split())
    for cell in run.results["cells"]:
        metric = cell["metrics"][0]
        rate, low, high = (100 * metric[key] for key in ("value", "low", "high"))
        assert f"{metric['name']} {rate:.1f}% ({low:.1f}–{high:.1f})" in joined
    assert "0.0123 USD" in joined and "88.1" in joined and "! " in joined
    assert "\x1b" not in text


def test_model_and_prompt_stand_in_the_heading_where_all_cells_share_them():
    lines = printed(made_up(prompts=("default@1",)).results, 160).splitlines()
    assert "smollm2-135m · default@1 · 120 attempts" in lines[0]
    assert "smollm2" not in " ".join(lines[1:4])


def test_missing_attempts_and_made_up_answers_are_said():
    text = printed(made_up(unfinished=4, synthetic=True, bad=0.0).results, 100)
    assert "INCOMPLETE: 216 of 240 attempts" in text and "SYNTHETIC" in text and "36 of 40" in text


def test_flags_follow_the_table_with_their_cell():
    lines = [line.rstrip() for line in printed(made_up().results, 160).splitlines()]
    assert lines[-2:] == [
        "warning: 5.0% of the answers were cut at the token limit (smollm2-135m · default@1 · boolq)",
        "info: 40 samples tell differences of 30 points or more",
    ]


def test_the_bar_shows_value_and_interval():
    results = made_up(prompts=("default@1",), tasks=("piqa",), bad=0.0).results
    results["cells"][0]["metrics"][0] |= {"value": 0.5, "low": 0.0, "high": 1.0}
    assert "━" * 8 + "●" + "━" * 7 in printed(results, 80)
    results["cells"][0]["metrics"][0] |= {"value": 0.0, "low": None, "high": None}
    assert "●" + "·" * 15 in printed(results, 80)


def test_a_terminal_without_unicode_gets_ascii():
    run = made_up()
    run.results["cells"][0]["model"] = "modèle"
    assert "mod?le" in printed(run.results, 80, encoding="ascii")


def test_what_would_steer_the_terminal_is_not_passed_on():
    run = made_up()
    run.results["cells"][2]["metrics"][3]["counts"] = {"\x1b]0;owned\x07[red]x[/red]": 3}
    text = printed(run.results, 160)
    assert "\x1b" not in text and "\x07" not in text and "[red]" in text


def test_a_cell_that_nothing_scores():
    run = made_up(samples=3, unfinished=3)
    assert "not scored" in printed(run.results, 80) and "not scored" in printed(run.results, 160)


def test_an_anomaly_stands_above_the_rows():
    run = made_up()
    run.results["anomalies"] = ["humaneval: 2 of 20 reference solutions failed\x1b[2J"]
    lines = printed(run.results, 80).splitlines()
    assert lines[1].rstrip() == "ANOMALOUS: humaneval: 2 of 20 reference solutions failed\ufffd[2J"
    assert "ANOMALOUS" not in printed(made_up().results, 80)


def test_completions_that_were_given_took_no_time():
    run = made_up(tasks=("humaneval",), given=True, bad=0.0)
    run.results["seconds"] = 0.0
    text = " ".join(printed(run.results, 80).split())
    assert "80 attempts · completions were given" in text and "0.0 s" not in text
