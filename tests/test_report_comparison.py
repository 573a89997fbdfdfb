import re

from assay.gates.compare import gate
from assay.report.comparison import Flip, Side, write
from assay.report.difference import sides
from support.gated import GRADE, cell, evidence, flipped, policy

NASTY = "</pre><script>alert(1)</script>\x00\ud800"


def page(tmp_path, result, flips=(), left_out=0):
    path = tmp_path / "page.html"
    write(path, result.to_json(), flips, left_out)
    return path.read_text()


def test_the_page_shows_the_verdict_the_margin_and_the_flips(tmp_path):
    flip = Flip("t", "lost", "s0", "What?", Side("four", "4", "4 is right"), Side("five", "5", "5 is not 4"))
    text = page(tmp_path, gate(*flipped(400, lost=30), policy(0.02)), [flip], left_out=29)
    assert ">REGRESSION</span>" in text
    assert 'class="margin"' in text
    assert "<del>four</del>" in text
    assert "<ins>five</ins>" in text
    assert "29 more are in the result" in text


def test_nothing_in_it_is_a_script_or_leads_elsewhere(tmp_path):
    flip = Flip(NASTY, "lost", NASTY, NASTY, Side(NASTY, NASTY, NASTY), None)
    base = evidence(cell([True] * 9, task="<img src=x>"), run="<b>")
    text = page(tmp_path, gate(base, base, policy()), [flip])
    assert "<script" not in text
    assert "<img" not in text
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    assert "default-src &#x27;none&#x27;" in text


def test_what_could_not_be_paired_has_a_page_too(tmp_path):
    one = evidence(cell([], aggregate={"accuracy": [0.5, 10]}))
    assert "No scores could be paired" in page(tmp_path, gate(one, one, policy()))


def test_metrics_in_their_own_units(tmp_path):
    base, other = (evidence(cell([value] * 40 + [0.5], metric=GRADE)) for value in (0.6, 0.5))
    assert "-0.09756" in page(tmp_path, gate(base, other, policy(0.05)))


def test_differences_are_marked_word_by_word_or_line_by_line():
    assert sides("a b c", "a x c") == ("a <del>b</del> c", "a <ins>x</ins> c")
    left, right = "same\n" * 1000 + "old\n", "same\n" * 1000 + "new\n"
    assert sides(left, right)[0].endswith("same\n<del>old\n</del>")
    assert sides("", "") == ("", "")
    assert sides("<b>", "<b>")[0] == "&lt;b&gt;"
