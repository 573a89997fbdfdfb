import subprocess
import sys

import pytest

from assay.errors import ConfigError, MachineError
from assay.scoring.base import Scorer
from assay.scoring.registry import make, names

OPTIONS = {"regex": {"pattern": "a"}, "json_schema": {"schema": {"type": "object"}}}


def test_the_built_in_scorers_come_through_the_entry_points():
    assert set(names()) >= {
        "exact_match", "normalized_exact_match", "numeric", "multiple_choice", "regex", "contains", "json_schema",
        "pass_at_1",
    }  # fmt: skip


@pytest.mark.parametrize("name", names())
def test_each_is_a_scorer_with_a_name_a_revision_and_metrics(name):
    scorer = make(name, OPTIONS.get(name, {}))
    assert isinstance(scorer, Scorer)
    assert scorer.name == name
    assert scorer.revision
    assert scorer.metrics
    assert len({metric.name for metric in scorer.metrics}) == len(scorer.metrics)


def test_an_unknown_name_is_told_with_the_nearest_and_the_allowed():
    with pytest.raises(ConfigError) as caught:
        make("numerc", {})
    (problem,) = caught.value.problems
    assert problem.nearest == "numeric"
    assert "exact_match" in problem.allowed


def test_all_mistakes_in_the_options_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        make("regex", {"flags": "q", "patern": "x", "match": 3})
    keys = {problem.key.removeprefix("scoring_mode.options."): problem for problem in caught.value.problems}
    assert set(keys) == {"pattern", "patern", "flags", "match"}
    assert keys["patern"].nearest == "pattern"
    assert keys["match"].allowed == "first, last"


def test_options_that_change_the_score_change_the_revision():
    plain = make("numeric", {}).revision
    assert make("numeric", {"tolerance": 0}).revision == plain
    assert make("numeric", {"tolerance": 1}).revision != plain
    assert make("numeric", {"tolerance": 1}).revision == make("numeric", {"tolerance": 1}).revision


def test_a_plug_in_that_is_not_a_scorer_is_refused(monkeypatch):
    _offer(monkeypatch, "builtins:dict")
    with pytest.raises(MachineError, match="returned no scorer"):
        make("mine", {})


def test_a_plug_in_that_cannot_be_imported_is_named(monkeypatch):
    _offer(monkeypatch, "no_such_package.scorer:make")
    with pytest.raises(MachineError, match=r"no_such_package\.scorer:make.*cannot be loaded"):
        make("mine", {})


def _offer(monkeypatch, value):
    from importlib.metadata import EntryPoint

    from assay.scoring import registry

    monkeypatch.setattr(registry, "_installed", lambda: {"mine": EntryPoint("mine", value, registry.GROUP)})


def test_listing_the_names_imports_no_scorer():
    code = (
        "import sys; from assay.scoring.registry import names; names();"
        "print([m for m in sys.modules if m in ('jsonschema', 'regex', 'assay.scoring.numeric', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
