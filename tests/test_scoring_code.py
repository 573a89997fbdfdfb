import hashlib
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError, MachineError, ScorerError
from assay.records import Completion, Sample
from assay.sandbox.execution import Execution, Failure, Status
from assay.scoring.base import CodeScorer, Scorer
from assay.scoring.code import packages_of_tests
from assay.scoring.registry import make

PROMPT = 'import math\n\n\ndef area(r):\n    """Of a circle."""\n'
TESTS = "def check(candidate):\n    assert candidate(0) == 0\n\ncheck(area)\n"
HUMANEVAL = Sample(
    "HumanEval/0", PROMPT, "    return math.pi * r * r\n",
    fields={"entry_point": "area", "setup": "", "tests": TESTS, "complete": True},
)  # fmt: skip
MBPP = Sample(
    "Mbpp/1", "Area of a circle.\nassert area(0) == 0", "import math\ndef area(r):\n    return math.pi * r * r",
    fields={"entry_point": "area", "setup": "import os", "tests": "assert area(0) == 0\n", "complete": False},
)  # fmt: skip
BODY = Completion("    return 0\n", "stop")
SCORER = make("pass_at_1", {})


def with_fields(sample, **fields):
    return replace(sample, fields={**sample.fields, **fields})


def judged(execution, completion=BODY, sample=HUMANEVAL, scorer=SCORER):
    candidate = scorer.program(sample, completion)
    return scorer.judge(sample, completion, {**execution.to_json(), "program": candidate.digest, "found": True})


def test_it_is_a_scorer_of_code_and_others_are_not():
    assert isinstance(SCORER, CodeScorer)
    assert isinstance(SCORER, Scorer)
    assert not isinstance(make("numeric", {}), CodeScorer)
    with pytest.raises(MachineError, match="executed"):
        SCORER.score(HUMANEVAL, BODY)


def test_a_completion_goes_after_the_prompt_and_the_prompts_helpers_support_the_tests():
    candidate = SCORER.program(HUMANEVAL, BODY)
    assert candidate.program.solution == PROMPT + BODY.text
    assert (candidate.program.tests, candidate.program.entry_point) == (TESTS, "area")
    assert candidate.program.support.strip() == "import math"
    assert (candidate.strategy, candidate.form, candidate.found) == ("whole", "completion", True)
    assert not candidate.program.shared


def test_a_whole_answer_stands_alone_and_the_setup_goes_before_the_tests():
    candidate = SCORER.program(MBPP, Completion("```python\ndef area(r):\n    return 0\n```"))
    assert candidate.program.solution == "def area(r):\n    return 0"
    assert (candidate.program.support, candidate.program.tests) == ("", "import os\nassert area(0) == 0\n")
    assert (candidate.strategy, candidate.form) == ("fenced", "program")


def test_text_that_was_given_as_code_is_taken_as_it_is():
    for form, source in (("completion", PROMPT + "```\n"), ("program", "```\n")):
        candidate = SCORER.program(HUMANEVAL, Completion("```\n", form=form))
        assert (candidate.program.solution, candidate.strategy, candidate.form) == (source, "verbatim", form)
    verbatim = make("pass_at_1", {"extract": "verbatim"})
    assert verbatim.program(HUMANEVAL, Completion("```\n")).program.solution == PROMPT + "```\n"


@pytest.mark.parametrize("sample", [HUMANEVAL, MBPP])
def test_reference_solutions_become_the_same_program_however_they_come(sample):
    form = "completion" if sample.fields["complete"] else "program"
    given = SCORER.program(sample, Completion(sample.target, form=form))
    assert SCORER.program(sample, Completion(sample.target)).program == given.program


def test_the_token_limit_is_heeded():
    text = "    return 0\n\ndef more("
    assert SCORER.program(HUMANEVAL, Completion(text, "length")).program.solution == f"{PROMPT}    return 0\n"
    assert SCORER.program(HUMANEVAL, Completion(text, "stop")).program.solution == PROMPT + text


def test_what_tests_import_beyond_the_standard_library_is_let_in():
    text = "import numpy as np, os.path\n  from scipy.stats import norm\nimport math\nx = 'import y'\n"
    sample = with_fields(HUMANEVAL, tests=text, setup="import sympy.core")
    assert packages_of_tests(sample) == ("numpy", "scipy", "sympy")
    assert SCORER.settings_for([HUMANEVAL, sample]).test_packages == ("numpy", "scipy", "sympy")
    assert SCORER.settings_for([HUMANEVAL, MBPP]) == SCORER.settings


@pytest.mark.parametrize("fields", [{"tests": ""}, {"tests": None}, {"entry_point": "a b"}, {"entry_point": None}])
def test_a_sample_without_tests_cannot_be_scored(fields):
    with pytest.raises(ScorerError, match="HumanEval/0"):
        SCORER.program(with_fields(HUMANEVAL, **fields), BODY)


def test_the_digest_is_of_the_source():
    candidate = SCORER.program(HUMANEVAL, BODY)
    assert candidate.digest == hashlib.sha256((PROMPT + BODY.text).encode()).hexdigest()[:16]
    assert SCORER.program(HUMANEVAL, Completion("\ud800")).digest != candidate.digest


def test_a_pass():
    score = judged(Execution(Status.PASSED, True, True, 7, 7, 7))
    assert score.metrics == {
        "pass_at_1": True, "compiled": True, "extracted": True, "timed_out": False, "tests_passed": 1.0,
    }  # fmt: skip
    assert (score.why, score.extracted) == ("passed 7 tests", BODY.text)
    assert set(score.metrics) == {metric.name for metric in SCORER.metrics}
    assert SCORER.metrics[0].name == "pass_at_1"


def test_a_forgeable_pass_says_so():
    assert judged(Execution(Status.PASSED, True, tests_passed=1, forgeable=True)).why.endswith("could have forged this")


FAILURE = Failure("AssertionError", "", 4, "assert candidate([1,2]) == 3", "5")


@pytest.mark.parametrize(
    ("execution", "why"),
    [
        (Execution(Status.FAILED, True, failure=FAILURE), "`assert candidate([1,2]) == 3`, line 4: got 5"),
        (
            Execution(Status.FAILED, True, tests_passed=2, tests_run=3, tests_total=9, failure=FAILURE),
            "`assert candidate([1,2]) == 3`, line 4: got 5; 2 of 9 tests passed",
        ),
        (Execution(Status.FAILED, True), "a test was false"),
        (
            Execution(Status.ERROR, True, failure=Failure("IndexError", "out of range", 2, "f(1)")),
            "`f(1)`, line 2: IndexError: out of range",
        ),
        (
            Execution(Status.COMPILE_ERROR, False, failure=Failure("SyntaxError", "invalid syntax (line 3)")),
            "not Python: SyntaxError: invalid syntax (line 3)",
        ),
        (
            Execution(Status.LOAD_ERROR, True, failure=Failure("NameError", "no x")),
            "the program fails before any test: NameError: no x",
        ),
        (Execution(Status.MISSING_ENTRY_POINT, True), "the program does not define area"),
        (Execution(Status.NO_TESTS, True), "no test was executed"),
        (Execution(Status.EXITED, exit_code=3), "the program ended its own process (exit code 3)"),
        (Execution(Status.CRASHED, signal="SIGSEGV"), "the program crashed: SIGSEGV"),
        (Execution(Status.OUT_OF_MEMORY), "out of memory: more than 1024 MB"),
        (Execution(Status.TIMEOUT, timeout="cpu"), "timed out: more than 3 s of CPU time"),
        (Execution(Status.TIMEOUT, timeout="wall"), "timed out: more than 15 s"),
        (Execution(Status.VIOLATION), "the program interfered with the protocol between it and its tests"),
    ],
)
def test_a_failure_and_why(execution, why):
    score = judged(execution)
    assert score.why == why
    assert score.metrics["pass_at_1"] is False
    assert score.metrics["timed_out"] == (execution.status is Status.TIMEOUT)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.SANDBOX_ERROR])
def test_only_passed_passes_and_what_is_unknown_is_left_out(status):
    score = judged(Execution(status, tests_passed=2))
    assert score.metrics["pass_at_1"] is (status is Status.PASSED)
    assert not {"compiled", "tests_passed"} & set(score.metrics)
    assert score.why


def test_texts_of_untrusted_code_are_shown_on_one_short_line():
    failure = Failure("AssertionError", "", 1, "assert\n\x1b[2J x", "9" * 5000)
    why = judged(Execution(Status.FAILED, failure=failure)).why
    assert why.isprintable()
    assert len(why) < 500


@pytest.mark.parametrize(
    ("completion", "why"),
    [
        (Completion("    return 0", "refusal"), "the model refused to answer"),
        (Completion(" \n"), "the completion is empty"),
    ],
)
def test_no_answer_is_wrong_whatever_was_executed(completion, why):
    score = judged(Execution(Status.PASSED, True, tests_passed=1), completion)
    assert (score.metrics["pass_at_1"], score.why) == (False, why)


def test_a_failure_says_that_the_completion_was_cut():
    assert "cut by its token limit" in judged(Execution(Status.COMPILE_ERROR, False), Completion("    x", "length")).why
    assert "cut" not in judged(Execution(Status.PASSED, True, tests_passed=1), Completion("    x", "length")).why


def test_an_execution_of_another_program_is_no_score():
    stored = Execution(Status.PASSED, True, tests_passed=1).to_json()
    for program in ({}, {"program": "0" * 16}, {"program": SCORER.program(HUMANEVAL, Completion("    x")).digest}):
        with pytest.raises(ScorerError, match="of another program"):
            SCORER.judge(HUMANEVAL, BODY, {**stored, **program})


def test_a_failure_of_the_sandbox_is_no_score():
    with pytest.raises(ScorerError, match="the sandbox failed: no space"):
        judged(Execution(Status.SANDBOX_ERROR, failure=Failure("OSError", "no space")))


@pytest.mark.parametrize(
    "part",
    [{"status": "fine"}, {"status": None}, {"tests_passed": "7"}, {"tests_passed": -1}, {"tests_total": 1.5},
     {"tests_passed": 3, "tests_total": 2}, {"compiled": "yes"}, {"failure": []}, {"failure": {"kind": 1}},
     {"failure": {}}, {"status": "passed"}, {"timeout": []}, {"unknown": 1}, {"exit_code": "x"}],
)  # fmt: skip
def test_a_malformed_execution_is_no_score(part):
    digest = SCORER.program(HUMANEVAL, BODY).digest
    stored = {**Execution(Status.FAILED).to_json(), "program": digest}
    with pytest.raises(ScorerError, match="malformed"):
        SCORER.judge(HUMANEVAL, BODY, {**stored, **part})


values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
keys = st.sampled_from([*Execution.__dataclass_fields__, "strange"])


@given(st.dictionaries(keys, values | st.dictionaries(st.sampled_from(["kind", "got", "line"]), values)))
def test_any_stored_nonsense_is_a_score_or_a_scorer_error(parts):
    stored = {"status": "failed", **parts, "program": SCORER.program(HUMANEVAL, BODY).digest}
    try:
        score = SCORER.judge(HUMANEVAL, BODY, stored)
    except ScorerError:
        return
    assert score.metrics["pass_at_1"] is (stored["status"] == "passed")


def test_a_second_run_is_a_metric_where_it_was_asked_for():
    twice = make("pass_at_1", {"check_determinism": True})
    assert twice.check_determinism
    score = judged(Execution(Status.PASSED, True, tests_passed=1, deterministic=False), scorer=twice)
    assert score.metrics["deterministic"] is False
    assert "a second run ended otherwise" in score.why
    assert "deterministic" not in {metric.name for metric in SCORER.metrics}


def test_options_shape_the_settings():
    options = {"tier": "reduced", "packages": ["numpy", "attr"], "cpu_s": 1, "wall_s": 2.5, "memory_mb": 256}
    settings = make("pass_at_1", options).settings
    assert (settings.tier, settings.profile, settings.packages) == ("reduced", "strict", ("attr", "numpy"))
    assert (settings.limits.cpu_s, settings.limits.wall_s, settings.limits.memory_mb) == (1, 2.5, 256)
    assert (SCORER.settings.tier, SCORER.k, SCORER.control) == ("full", (1,), "sample")
    assert make("pass_at_1", {"k": [100, 1, 10, 1]}).k == (1, 10, 100)
    assert make("pass_at_1", {"k": 5, "control": "full"}).k == (5,)


def test_options_that_change_the_score_change_the_revision():
    assert make("pass_at_1", {"tier": "full", "extract": "auto", "packages": []}).revision == SCORER.revision
    for options in ({"extract": "fenced"}, {"cpu_s": 4}, {"packages": ["numpy"]}, {"tier": "none"}):
        assert make("pass_at_1", options).revision != SCORER.revision


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"tier": "half"}, "tier"),
        ({"profile": "loose"}, "profile"),
        ({"tier": "reduced", "profile": "fork-allowed"}, "profile"),
        ({"packages": "numpy"}, "packages"),
        ({"packages": ["numpy.linalg"]}, "packages"),
        ({"cpu_s": 0}, "cpu_s"),
        ({"cpu_s": True}, "cpu_s"),
        ({"cpu_s": float("nan")}, "cpu_s"),
        ({"cpu_s": 20, "wall_s": 15}, "wall_s"),
        ({"memory_mb": 1.5}, "memory_mb"),
        ({"k": []}, "k"),
        ({"k": [1, 0]}, "k"),
        ({"k": True}, "k"),
        ({"control": "none"}, "control"),
        ({"extract": "last"}, "extract"),
        ({"check_determinism": "yes"}, "check_determinism"),
        ({"teir": "full"}, "teir"),
    ],
)
def test_bad_options_are_named(options, key):
    with pytest.raises(ConfigError) as caught:
        make("pass_at_1", options)
    assert [problem.key for problem in caught.value.problems] == [f"scoring_mode.options.{key}"]


def test_making_it_loads_neither_numpy_nor_the_pool():
    code = (
        "import sys; from assay.scoring.registry import make; make('pass_at_1', {});"
        "print([m for m in sys.modules if m in ('numpy', 'assay.sandbox.pool')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
