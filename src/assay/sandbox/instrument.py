"""Tests that are counted: every assertion says whether it held, and one that did not hold does not end the tests.

What counts as a test is an `assert` statement, or a statement that calls an attribute named like an assertion
(`self.assertEqual(…)`, `np.testing.assert_allclose(…)`), each time one is executed. One that is false, or whose own
evaluation raises, is noted as failed and the next statement runs. Only where the tests themselves would catch the
AssertionError (in a `try` with a broad handler, in `with raises(…)`) does an assertion raise it, as it would have.

Tests that define `check` and never use it are HumanEval's: `check(candidate)` is added.
"""

from __future__ import annotations

import ast
import re
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from assay.sandbox.solution import message

FILE = "<tests>"
TALLY = "__tests__"
"""What the tests' own counting is called in their namespace."""

MOST_TEXT = 400
"""Characters of a test's text and of a value that are kept."""

_ASSERTION = re.compile(r"assert(_|[A-Z])\w*")
_CATCHES = frozenset({"AssertionError", "Exception", "BaseException"})
_EXPECTS = frozenset({"raises", "assertRaises", "assertRaisesRegex", "suppress"})


@dataclass(frozen=True, slots=True)
class Instrumented:
    """Compiled tests. `total` is how many tests they hold where that does not depend on how they run; `unbound` are
    the names they use and do not bind.
    """

    code: types.CodeType
    total: int | None
    unbound: frozenset[str]
    lines: tuple[str, ...]

    def text(self, first: int, last: int) -> str:
        """The source of these lines, cut short."""
        return "\n".join(self.lines[first - 1 : last]).strip()[:MOST_TEXT]


class Tally:
    """Counts tests as they run; `failure` is the first that failed: [kind, message, line, last line, got]."""

    error = Exception

    def __init__(self, got: Callable[[], str]) -> None:
        self.passes = 0
        self.runs = 0
        self.failure: list[Any] | None = None
        self.got = got
        self._saying = False

    def passed(self) -> None:
        """A test held."""
        self.passes += 1
        self.runs += 1

    def failed(self, line: int, end: int) -> bool:
        """A test was false; whether its message is wanted."""
        self.runs += 1
        if self.failure is not None:
            return False
        self.failure = ["AssertionError", "", line, end, self.got()]
        self._saying = True
        return True

    def say(self, said: Any) -> None:
        """The message of the test that was false."""
        if self.failure is not None:
            self.failure[1] = message(AssertionError(said))
        self._saying = False

    def raised(self, line: int, end: int) -> None:
        """A test could not be evaluated: the exception being handled."""
        if self._saying:  # it was the message that could not
            self._saying = False
            return
        self.runs += 1
        error = sys.exc_info()[1]
        if self.failure is None and error is not None:
            self.failure = [type(error).__name__, message(error), line, end, self.got()]


def instrument(source: str) -> Instrumented:
    """Compile tests so that they count themselves. Raises SyntaxError, ValueError and what else a parser raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source, FILE)
        names = _Names(tree)
        if "check" in names.functions and not names.loads["check"]:
            tree.body.append(_check(names.functions["check"]))
            names.loads["check"] += 1
        total = _Static(names).total(tree.body)
        tree.body = _Rewriter(tree).body(tree.body, guarded=False)
        code = compile(tree, FILE, "exec", dont_inherit=True)
    return Instrumented(code, total, frozenset(names.loads) - names.bound, tuple(re.split("\r\n|\r|\n", source)))


def _check(function: ast.FunctionDef) -> ast.stmt:
    call = ast.parse("check(candidate)" if function.args.args else "check()").body[0]
    for node in ast.walk(call):
        if isinstance(node, ast.expr | ast.stmt):
            node.lineno = node.end_lineno = function.lineno
    return call


class _Names:
    """The names of a program: how often each is read, which are bound, the functions of the top level."""

    def __init__(self, tree: ast.Module) -> None:
        self.loads: Counter[str] = Counter()
        self.bound: set[str] = set()
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        waiting: list[ast.AST] = [tree]
        while waiting:
            node = waiting.pop()
            if type(node) in _SEQUENCES:  # megabytes of constants are passed over
                waiting += [item for item in node.elts if type(item) is not ast.Constant]  # type: ignore[attr-defined]
            else:
                self._bind(node)
                waiting.extend(ast.iter_child_nodes(node))

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                self.loads[name] += 1
            case ast.Name(id=name) | ast.arg(arg=name):
                self.bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                self.bound.add(name)
            case ast.alias(name=name, asname=other):
                self.bound.add((other or name).split(".")[0])
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
                self.bound.add(name)
            case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                self.bound.add(name)


_SEQUENCES = frozenset({ast.List, ast.Tuple, ast.Set})
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _is_test(node: ast.stmt) -> bool:
    match node:
        case ast.Assert():
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name))):
            return _ASSERTION.fullmatch(name) is not None
    return False


def _parts(node: ast.stmt) -> Iterable[Any]:
    """The handlers of a `try`, the cases of a `match`."""
    return (*getattr(node, "handlers", ()), *getattr(node, "cases", ()))


def _blocks(node: ast.stmt) -> Iterable[list[ast.stmt]]:
    """The lists of statements directly under a statement."""
    for name in ("body", "orelse", "finalbody"):
        yield getattr(node, name, None) or []
    for part in _parts(node):
        yield part.body


def _has_tests(body: list[ast.stmt]) -> bool:
    return any(_is_test(node) or any(_has_tests(block) for block in _blocks(node)) for node in body)


class _Static:
    """Counts the tests of a program without running it."""

    def __init__(self, names: _Names) -> None:
        self._names = names
        self._called: Counter[str] = Counter()
        self._testing = {name for name, node in names.functions.items() if _has_tests(node.body)}

    def total(self, body: list[ast.stmt]) -> int | None:
        """How many tests run; None where only a run can tell."""
        count = self._count([node for node in body if getattr(node, "name", None) not in self._testing])
        if any(self._names.loads[name] != self._called[name] for name in self._testing):
            return None
        return count

    def _count(self, body: list[ast.stmt]) -> int | None:
        counts = [self._one(node) for node in body]
        return None if None in counts else sum(count or 0 for count in counts)

    def _one(self, node: ast.stmt) -> int | None:
        match node:
            case ast.Expr(value=ast.Call(func=ast.Name(id=name))) if name in self._testing:
                self._called[name] += 1
                return None if self._called[name] > 1 else self._count(self._names.functions[name].body)
            case ast.With(body=body):
                return self._count(body)
        if _is_test(node):
            return 1
        return None if any(_has_tests(block) for block in _blocks(node)) else 0


class _Rewriter:
    """Replaces tests by code that counts them."""

    def __init__(self, tree: ast.Module) -> None:
        self._guarded: set[str] = set()
        self._find(tree.body)

    def _find(self, body: list[ast.stmt]) -> None:
        """Note the functions that are called where the tests catch an AssertionError."""
        for node in body:
            if _guards(node):
                calls = (part for inner in node.body for part in ast.walk(inner))  # type: ignore[attr-defined]
                self._guarded |= {
                    part.func.id for part in calls if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)
                }
            for block in _blocks(node):
                self._find(block)

    def body(self, body: list[ast.stmt], guarded: bool) -> list[ast.stmt]:
        """The statements, rewritten; `guarded` where an AssertionError is caught."""
        done: list[ast.stmt] = []
        for node in body:
            if _is_test(node):
                done += _raising(node) if guarded else [_counted(node)]
            else:
                self._inside(node, guarded)
                done.append(node)
        return done

    def _inside(self, node: ast.stmt, guarded: bool) -> None:
        if isinstance(node, _SCOPES):
            guarded = node.name in self._guarded
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if block:
                setattr(node, name, self.body(block, guarded or (name == "body" and _guards(node))))
        for part in _parts(node):
            part.body = self.body(part.body, guarded)


def _guards(node: ast.stmt) -> bool:
    """Whether a statement catches an AssertionError of its body."""
    match node:
        case ast.Try(handlers=handlers) | ast.TryStar(handlers=handlers):
            return any(_catches(handler.type) for handler in handlers)
        case ast.With(items=items) | ast.AsyncWith(items=items):
            return any(_expects(item.context_expr) for item in items)
    return False


def _catches(kind: ast.expr | None) -> bool:
    match kind:
        case None:
            return True
        case ast.Name(id=name):
            return name in _CATCHES
        case ast.Tuple(elts=kinds):
            return any(_catches(part) for part in kinds)
    return False


def _expects(context: ast.expr) -> bool:
    match context:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _EXPECTS
    return False


def _counted(node: ast.stmt) -> ast.stmt:
    """A test that is noted whatever becomes of it."""
    where = _Where(node)
    lines = [where.constant(node.lineno), where.constant(node.end_lineno or node.lineno)]
    if isinstance(node, ast.Assert):
        said = where.tell("say", [node.msg or where.constant("")])
        told = where.make(ast.If(test=where.call("failed", lines), body=[said], orelse=[]))
        body = [where.make(ast.If(test=node.test, body=[where.tell("passed", [])], orelse=[told]))]
    else:
        body = [node, where.tell("passed", [])]
    caught = where.make(ast.ExceptHandler(type=where.tally("error"), name=None, body=[where.tell("raised", lines)]))
    return where.make(ast.Try(body=body, handlers=[caught], orelse=[], finalbody=[]))  # type: ignore[no-any-return]


def _raising(node: ast.stmt) -> list[ast.stmt]:
    """A test that raises as it would have, and is noted where it held."""
    return [node, _Where(node).tell("passed", [])]


class _Where:
    """Makes nodes in the place of another."""

    def __init__(self, node: ast.stmt) -> None:
        self._node = node

    def make(self, node: Any) -> Any:
        return ast.copy_location(node, self._node)

    def constant(self, value: int | str) -> ast.expr:
        return self.make(ast.Constant(value=value))  # type: ignore[no-any-return]

    def tally(self, name: str) -> ast.expr:
        base = self.make(ast.Name(id=TALLY, ctx=ast.Load()))
        return self.make(ast.Attribute(value=base, attr=name, ctx=ast.Load()))  # type: ignore[no-any-return]

    def call(self, name: str, arguments: list[ast.expr]) -> ast.expr:
        return self.make(ast.Call(func=self.tally(name), args=arguments, keywords=[]))  # type: ignore[no-any-return]

    def tell(self, name: str, arguments: list[ast.expr]) -> ast.stmt:
        return self.make(ast.Expr(value=self.call(name, arguments)))  # type: ignore[no-any-return]
