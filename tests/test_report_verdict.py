import xml.etree.ElementTree as ElementTree

from assay.gates.compare import gate
from assay.report.verdict import junit_xml, markdown
from support.gated import cell, evidence, flipped, policy


def test_names_are_no_markup():
    nasty = evidence(cell([True] * 400, task="a|b<script>`x`"), run="[x](http://evil)\n# head")
    text = markdown(gate(nasty, nasty, policy()).to_json())
    assert "<script>" not in text
    assert "\n# head" not in text
    assert "| a\\|b\\<script\\>\\`x\\` |" in text


def test_what_xml_cannot_say_is_replaced():
    nasty = evidence(cell([True] * 10, task='a\x00"<&'))
    suite = ElementTree.fromstring(junit_xml(gate(nasty, nasty, policy()).to_json()))
    assert any("\ufffd" in case.get("classname", "") for case in suite)


def test_a_result_without_checks_is_a_failure_all_the_same():
    suite = ElementTree.fromstring(junit_xml(gate(3, 4, policy()).to_json()))
    assert suite.get("failures") == "1"


def test_the_table_of_tasks():
    text = markdown(gate(*flipped(400, lost=3, won=3), policy(0.02)).to_json())
    assert "| t | supporting | 400 | 75.0 % | 75.0 % | +0.00 | -1.21 to +1.21 | -2.00 | ACCEPT |" in text
