"""`pass_at_1`: generated code passes its tests, in a sandbox.

The scorer says which program to execute and what an execution means; it executes nothing itself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, cast

from assay.errors import MachineError, ScorerError
from assay.records import Completion, Sample, Score, Value
from assay.sandbox.execution import WALL_FACTOR, Execution, Limits, Profile, Program, Settings, Status, Tier
from assay.scoring.answers import cut, unanswered
from assay.scoring.base import Candidate, Metric
from assay.scoring.extraction import Extraction, Mode, Problem, extract
from assay.scoring.options import Options
from assay.scoring.outcomes import explained

MOST_K = 10_000
_METRICS = (
    Metric("pass_at_1", help="share of attempts that pass every test"),
    Metric("compiled", help="whether the program is Python"),
    Metric("extracted", help="whether code was found in the completion"),
    Metric("timed_out", higher_is_better=False, help="whether a time limit ended it"),
    Metric("tests_passed", "measure", low=0.0, high=1.0, help="share of tests passed, where they can be counted"),
)
_DETERMINISTIC = Metric("deterministic", help="whether a second run ended the same")
_NOTED = frozenset({"program", "strategy", "form", "found"})
"""What is stored beside an execution: which program it is of."""

_TEXTS = ("kind", "message", "source", "got")

_IMPORTS = re.compile(r"^[ \t]*(?:from[ \t]+(\w+)[\w.]*[ \t]+import\b|import[ \t]+([\w., \t]+))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PassAt1:
    """The scorer; its metrics are rates over attempts, `pass_at_1` being pass@1. `k` is for pass@k over problems."""

    revision: str
    settings: Settings
    control: Literal["sample", "full"]
    k: tuple[int, ...]
    extraction: Mode
    check_determinism: bool
    usual_limits: bool = True
    name: str = "pass_at_1"
    needs: Literal["text", "choices"] = "text"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """As documented in docs/scoring.md."""
        return (*_METRICS, _DETERMINISTIC) if self.check_determinism else _METRICS

    def score(self, sample: Sample, completion: Completion) -> NoReturn:
        """Raises MachineError: code is executed, not read."""
        raise MachineError(
            f"{self.name} cannot score sample {sample.id!r} by reading: code is executed, in a sandbox", layer="sandbox"
        )

    def settings_for(self, samples: Iterable[Sample]) -> Settings:
        """The settings, with the packages beyond the standard library that these samples' tests import, and the memory
        that those need whose tests share the solution's process.
        """
        packages: set[str] = set()
        memory_mb = self.settings.limits.memory_mb
        for sample in samples:
            packages.update(packages_of_tests(sample))
            if self._shared(sample):
                memory_mb = max(memory_mb, int(sample.fields.get("memory_mb", 0)))
        limits = replace(self.settings.limits, memory_mb=memory_mb)
        return replace(self.settings, test_packages=tuple(sorted(packages)), limits=limits)

    def _shared(self, sample: Sample) -> bool:
        return self.settings.shared and bool(sample.fields.get("shared"))

    def _limits(self, program: Program) -> Limits:
        limits = self.settings.limits
        if program.cpu_s <= limits.cpu_s:
            return limits
        return replace(limits, cpu_s=program.cpu_s, wall_s=WALL_FACTOR * program.cpu_s)

    def _cpu_s(self, sample: Sample) -> float:
        """What the task asks for, where the spec says nothing."""
        return float(sample.fields.get("cpu_s", 0.0)) if self.usual_limits else 0.0

    def program(self, sample: Sample, completion: Completion) -> Candidate:
        """The program to execute and the tests that judge it. Raises ScorerError where the sample has no tests."""
        return self._candidate(sample, completion)[0]

    def judge(self, sample: Sample, completion: Completion, execution: Mapping[str, Any]) -> Score:
        """What a stored execution says of the completion that it is of."""
        candidate, found = self._candidate(sample, completion)
        outcome = _outcome(sample, candidate, execution)
        nothing = unanswered(completion)
        passed = outcome.passed and nothing is None
        why = nothing or explained(outcome, candidate.program.entry_point, self._limits(candidate.program))
        if not passed and nothing is None:
            why += cut(completion)
        return Score(self._metrics(outcome, passed, candidate), found.code if found.found else None, why)

    def _candidate(self, sample: Sample, completion: Completion) -> tuple[Candidate, Extraction]:
        problem, setup = _problem(sample), str(sample.fields.get("setup", ""))
        found = extract(completion.text, problem, self.extraction, completion.form, completion.finish == "length")
        program = Program(
            solution=found.source,
            # The setup may build on the solution (MBPP/367 makes a tree of its `Node`), which support cannot.
            tests=f"{setup.rstrip()}\n{sample.fields['tests']}" if setup.strip() else sample.fields["tests"],
            entry_point=problem.entry_point,
            cpu_s=self._cpu_s(sample),
            shared=self._shared(sample),
            support=problem.preamble,
        )
        return Candidate(program, found.strategy, found.form, found.found), found

    def _metrics(self, outcome: Execution, passed: bool, candidate: Candidate) -> dict[str, Value]:
        metrics: dict[str, Value] = {"pass_at_1": passed}
        if outcome.compiled is not None:
            metrics["compiled"] = outcome.compiled
        metrics |= {"extracted": candidate.found, "timed_out": outcome.status is Status.TIMEOUT}
        if outcome.tests_total:
            metrics["tests_passed"] = outcome.tests_passed / outcome.tests_total
        if self.check_determinism and outcome.deterministic is not None:
            metrics["deterministic"] = outcome.deterministic
        return metrics


def pass_at_1(options: Mapping[str, Any]) -> PassAt1:
    """The scorer with these options (see docs/scoring.md). Raises ConfigError."""
    known = Options("pass_at_1", options)
    settings = _settings(known)
    control = known.one_of("control", "sample", ("sample", "full"))
    k = _ks(known.value("k", [1], _are_ks, f"a number of attempts from 1 to {MOST_K}, or a list of them"))
    extraction = known.one_of("extract", "auto", ("auto", "fenced", "verbatim"))
    twice = known.flag("check_determinism", False)
    return PassAt1(
        known.done("2"),
        settings,
        cast(Literal["sample", "full"], control),
        k,
        cast(Mode, extraction),
        twice,
        usual_limits="cpu_s" not in options and "wall_s" not in options,
    )


def _settings(options: Options) -> Settings:
    tier = options.one_of("tier", "full", ("full", "reduced", "macos", "none"))
    profile = options.one_of("profile", "strict", ("strict", "fork-allowed"))
    if (tier, profile) == ("reduced", "fork-allowed"):
        options.reject("profile", "the tier reduced cannot end processes that a solution started", "strict")
    packages = options.value("packages", [], _are_packages, "a list of top-level package names")
    usual = Limits()
    cpu_s = options.value("cpu_s", usual.cpu_s, _is_number(0.1, 3600), "seconds from 0.1 to 3600")
    limits = Limits(
        cpu_s=cpu_s,
        wall_s=options.value("wall_s", WALL_FACTOR * cpu_s, _is_number(0.1, 3600), "seconds from 0.1 to 3600"),
        memory_mb=options.value("memory_mb", usual.memory_mb, _is_whole(64, 1 << 20), "whole MB from 64 to 1048576"),
    )
    if limits.wall_s < limits.cpu_s:
        options.reject("wall_s", f"the wall clock would end it before {limits.cpu_s:g} s of CPU time are used")
    shared = options.flag("shared", False)
    return Settings(cast(Tier, tier), cast(Profile, profile), tuple(sorted(set(packages))), (), limits, shared)


def _is_number(low: float, high: float) -> Any:
    return lambda given: isinstance(given, int | float) and not isinstance(given, bool) and low <= given <= high


def _is_whole(low: int, high: int) -> Any:
    return lambda given: type(given) is int and low <= given <= high


def _are_packages(given: Any) -> bool:
    return isinstance(given, list | tuple) and all(isinstance(name, str) and name.isidentifier() for name in given)


def _are_ks(given: Any) -> bool:
    numbers = given if isinstance(given, list | tuple) else [given]
    return bool(numbers) and all(_is_whole(1, MOST_K)(number) for number in numbers)


def _ks(given: Any) -> tuple[int, ...]:
    return tuple(sorted(set(given))) if isinstance(given, list | tuple) else (given,)


def _problem(sample: Sample) -> Problem:
    tests, name = sample.fields.get("tests"), sample.fields.get("entry_point")
    if not isinstance(tests, str) or not tests.strip() or not isinstance(name, str) or not name.isidentifier():
        raise ScorerError(f"sample {sample.id!r} has no tests to run, or names no function to test")
    return Problem(name, sample.input if sample.fields.get("complete") else None)


def packages_of_tests(sample: Sample) -> tuple[str, ...]:
    """The top-level packages beyond the standard library that a sample's tests and their setup import."""
    text = f"{sample.fields.get('setup', '')}\n{sample.fields.get('tests', '')}"
    found = {name for match in _IMPORTS.finditer(text) for name in _imported(match)}
    return tuple(sorted(found - sys.stdlib_module_names))


def _imported(match: re.Match[str]) -> Iterable[str]:
    if match[1]:
        return (match[1],)
    parts = (part.split() for part in match[2].split(","))
    return (words[0].partition(".")[0] for words in parts if words)


def _outcome(sample: Sample, candidate: Candidate, execution: Mapping[str, Any]) -> Execution:
    if (digest := execution.get("program")) != candidate.digest:
        raise ScorerError(
            f"sample {sample.id!r}: the stored execution is of another program ({digest}, not {candidate.digest})"
        )
    try:
        outcome = Execution.from_json({key: part for key, part in execution.items() if key not in _NOTED})
        _check(outcome)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ScorerError(f"sample {sample.id!r}: the stored execution is malformed: {error}") from error
    if outcome.status is Status.SANDBOX_ERROR:
        reason = outcome.failure.message if outcome.failure else "no reason given"
        raise ScorerError(f"sample {sample.id!r}: the sandbox failed: {reason}")
    return outcome


def _check(outcome: Execution) -> None:
    """Raise ValueError where the parts that scores are made of are not what they should be."""
    counts = (outcome.tests_passed, outcome.tests_run, outcome.tests_total or 0)
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("a number of tests is not a whole number")
    if outcome.tests_total is not None and outcome.tests_passed > outcome.tests_total:
        raise ValueError(f"{outcome.tests_passed} of {outcome.tests_total} tests passed")
    if outcome.passed and not outcome.tests_passed:
        raise ValueError("passed without a test")
    if not all(flag is None or isinstance(flag, bool) for flag in (outcome.compiled, outcome.deterministic)):
        raise ValueError("compiled and deterministic are true, false or absent")
    if outcome.timeout not in (None, "cpu", "wall", "checker") or type(outcome.exit_code) not in (int, type(None)):
        raise ValueError("an unknown limit, or an exit code that is no number")
    texts = (outcome.signal or "", *(getattr(outcome.failure, key) for key in _TEXTS if outcome.failure))
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is no text")
