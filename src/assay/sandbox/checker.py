"""The checker's process: it holds the tests, asks the solution across the channel and alone decides.

    suite = prepare({"tests": …, "support": …, "entry_point": …})    once a problem
    report = suite.judge(channel)                                    once an attempt

Passed means: at least one test ran, none failed, the end of the tests was reached and the channel was whole. Tests
that reach their end without one (see `instrument` for what counts) are `no_tests_executed`, even if they called the
solution: nobody can say what such a run shows.

The tests see `support`'s names, the entry point under its own name and as `candidate`, and, for a name that neither
they nor `support` nor Python binds, the solution's function or class of that name (MBPP's `Pair(5, 24)`) or, where
the solution has imported the standard module of that name, the checker's own copy of it.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import operator
import random
import reprlib
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from assay.sandbox.execution import Status
from assay.sandbox.instrument import FILE, MOST_TEXT, TALLY, Instrumented, Tally, instrument
from assay.sandbox.protocol import Report, Tests
from assay.sandbox.remote import Function, Link, Lost
from assay.sandbox.solution import message

SEED = 0
"""What `random` and numpy's global generator start from in every attempt."""

_MODULE = "tests"
_BUILTINS = dict(vars(builtins))
_NAMES = tuple(_BUILTINS)


def prepare(tests: Tests) -> Suite:
    """Compile the tests of a problem. What cannot be compiled is reported by every attempt as `sandbox_error`: that
    is not the solution's fault.
    """
    collecting = gc.isenabled()
    gc.disable()  # megabytes of literals become a tree without a cycle in it
    try:
        return Suite(tests["entry_point"], _compiled(tests["support"], "<support>"), instrument(tests["tests"]))
    except Exception as error:  # SyntaxError, RecursionError, MemoryError, ValueError: a parser raises them all
        return Suite(tests["entry_point"], None, None, f"the tests do not compile: {message(error)}")
    finally:
        if collecting:
            gc.enable()


def judge_shared(source: str, tests: Tests) -> Report:
    """Run a solution and its tests in one namespace, in this process: the solution can forge what is reported."""
    suite = prepare(tests)
    if suite.program is None:
        return suite.broken()
    try:
        code = _compiled(source, "<solution>")
    except Exception as error:
        return _unloaded(Status.COMPILE_ERROR, type(error).__name__, message(error))
    with _fresh():
        return _shared(suite, suite.program, code)


def _compiled(source: str, name: str) -> types.CodeType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(source, name, "exec", dont_inherit=True)


class Suite:
    """The tests of one problem, ready for any number of attempts."""

    def __init__(
        self, entry_point: str, support: types.CodeType | None, program: Instrumented | None, fault: str = ""
    ) -> None:
        self.entry_point = entry_point
        self.support = support
        self.program = program
        self.unbound = sorted(program.unbound.difference(_BUILTINS)) if program else []
        self.fault = fault

    def broken(self) -> Report:
        """What every attempt is told where the tests are not a program."""
        failure = {"kind": "SyntaxError", "message": self.fault}
        return {"status": Status.SANDBOX_ERROR, "tests_passed": 0, "tests_run": 0, "failure": failure}

    def namespace(self) -> dict[str, Any]:
        """A new module's names, those of the support among them. Raises what the support raises."""
        module = types.ModuleType(_MODULE)
        sys.modules[_MODULE] = module
        if self.support is not None:
            exec(self.support, module.__dict__)
        return module.__dict__

    def judge(self, channel: int) -> Report:
        """Judge the solution at the other end of the channel."""
        if self.program is None:
            return self.broken()
        link = Link(channel)
        try:
            status, kind, said = link.hello()
        except Lost as lost:
            return _unloaded(lost.status, lost.kind, lost.message)
        if status != "loaded":
            return _unloaded(*_greeting(status, kind, said))
        with _fresh():
            return _Attempt(self, self.program, link).report()


_GREETINGS = (Status.COMPILE_ERROR, Status.LOAD_ERROR, Status.MISSING_ENTRY_POINT, Status.OUT_OF_MEMORY)


def _greeting(status: str, kind: str, said: str) -> tuple[Status, str, str]:
    if status in _GREETINGS:
        return Status(status), kind[:60], said[:500]
    return Status.VIOLATION, "WireError", "a greeting of no known kind"


def _unloaded(status: Status, kind: str = "", said: str = "") -> Report:
    """A solution of which no test was asked."""
    report: Report = {"status": status, "tests_passed": 0, "tests_run": 0}
    if status in (Status.COMPILE_ERROR, Status.LOAD_ERROR, Status.MISSING_ENTRY_POINT):
        report["compiled"] = status is not Status.COMPILE_ERROR
        report["loaded"] = status is Status.MISSING_ENTRY_POINT
    report["failure"] = {"kind": kind, "message": said} if kind else None
    return report


@contextmanager
def _fresh() -> Iterator[None]:
    """The interpreter seeded, and afterwards as it was."""
    random.seed(SEED)
    numpy_random = sys.modules.get("numpy.random")  # numpy loads it late
    if numpy_random is not None:
        numpy_random.seed(SEED)
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
        sys.modules.pop(_MODULE, None)
        _restore()


def _restore(names: dict[str, Any] = _BUILTINS) -> None:
    """The builtins as they were, whatever the tests put in their place."""
    now = vars(builtins)
    if tuple(now) != _NAMES or not all(map(operator.is_, now.values(), names.values())):
        for name in now.keys() - names.keys():
            del now[name]
        now.update(names)


class _Attempt:
    """One run of the tests."""

    def __init__(self, suite: Suite, program: Instrumented, link: Link) -> None:
        self.suite, self.program, self.link = suite, program, link
        self.tally = Tally(self._shown)

    def report(self) -> Report:
        """Run them, and say what was found."""
        try:
            names = self.suite.namespace()
        except Exception as error:
            return _unloaded(Status.SANDBOX_ERROR, type(error).__name__, f"the support does not run: {message(error)}")
        left, ended = self._run(names)
        return _report(self.tally, self.program, self.link.lost or left, ended)

    def _run(self, names: dict[str, Any]) -> tuple[BaseException | None, bool]:
        """What left the tests, and whether their end was reached."""
        ended = False
        try:
            self._bind(names)
            exec(self.program.code, names)
            ended = True
            self.link.finish()
        except BaseException as error:  # tests may end in any way; how they ended is what is reported
            return error, ended
        return None, ended

    def _bind(self, names: dict[str, Any]) -> None:
        names[self.suite.entry_point] = names["candidate"] = self.link.entry(self.suite.entry_point)
        missing = [name for name in self.suite.unbound if name not in names]
        if missing:
            found = zip(missing, self.link.names(missing), strict=True)
            names.update((name, _theirs(name, value)) for name, value in found if value is not None)
        names[TALLY] = self.tally

    def _shown(self) -> str:
        """What the solution last returned, in words; it was rebuilt here, so that nothing of the solution's runs."""
        if not self.link.calls:
            return ""
        try:
            return _SHOW.repr(self.link.last)[:MOST_TEXT]
        except Exception as error:
            return f"<a value without a representation: {type(error).__name__}>"


def _theirs(name: str, found: Any) -> Any:
    match found:
        case ["module", str() as module] if module == name and name in sys.stdlib_module_names:
            return importlib.import_module(name)
        case ["object", Function() as function]:
            return function
    raise NameError(f"name {name!r} is not defined")


_SHOW = reprlib.Repr()
_SHOW.maxlist = _SHOW.maxtuple = _SHOW.maxset = _SHOW.maxfrozenset = _SHOW.maxdeque = _SHOW.maxdict = 40
_SHOW.maxstring = _SHOW.maxother = _SHOW.maxlong = 200


def _report(tally: Tally, program: Instrumented, left: BaseException | None, ended: bool) -> Report:
    if isinstance(left, AssertionError):
        tally.runs += 1
    total = tally.runs if ended else program.total
    return {
        "status": _status(tally, left),
        "compiled": True,
        "loaded": True,
        "tests_passed": tally.passes,
        "tests_run": tally.runs,
        "tests_total": total if total is None else max(total, tally.runs),
        "failure": _failure(tally, program, left),
    }


def _status(tally: Tally, left: BaseException | None) -> Status:
    if isinstance(left, Lost):
        return left.status
    if tally.failure is not None or isinstance(left, AssertionError):
        return Status.FAILED
    if left is not None:
        return Status.ERROR
    return Status.PASSED if tally.runs else Status.NO_TESTS


def _failure(tally: Tally, program: Instrumented, left: BaseException | None) -> dict[str, Any] | None:
    """The first test that failed, else what ended the tests."""
    if tally.failure is not None:
        kind, said, line, last, got = tally.failure
        return {"kind": kind, "message": said, "line": line, "source": program.text(line, last), "got": got}
    if isinstance(left, Lost):
        return {"kind": left.kind, "message": left.message} if left.kind else None
    if left is None:
        return None
    found = _line(left)
    text = "" if found is None else program.text(found, found)
    return {"kind": type(left).__name__, "message": message(left), "line": found, "source": text, "got": tally.got()}


def _line(error: BaseException) -> int | None:
    """The last line of the tests that an exception passed."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _shared(suite: Suite, program: Instrumented, code: types.CodeType) -> Report:
    try:
        names = suite.namespace()
    except Exception as error:
        return _unloaded(Status.SANDBOX_ERROR, type(error).__name__, f"the support does not run: {message(error)}")
    names.pop(suite.entry_point, None)
    ended = _ending(lambda: exec(code, names))
    if ended is not None:
        if isinstance(ended, Lost):
            return _unloaded(ended.status, ended.kind)
        return _unloaded(Status.LOAD_ERROR, type(ended).__name__, message(ended))
    if suite.entry_point not in names:
        said = f"the solution defines no {suite.entry_point!r}"
        return _unloaded(Status.MISSING_ENTRY_POINT, "NameError", said)
    tally = Tally(lambda: "")
    names["candidate"], names[TALLY] = names[suite.entry_point], tally
    left = _ending(lambda: exec(program.code, names))
    return _report(tally, program, left, left is None)


def _ending(work: Callable[[], None]) -> BaseException | None:
    """What ended the work; None where it came to its end."""
    try:
        work()
    except MemoryError:
        return Lost(Status.OUT_OF_MEMORY, "MemoryError")
    except (SystemExit, KeyboardInterrupt) as error:
        return Lost(Status.EXITED, type(error).__name__)
    except BaseException as error:
        return error
    return None
