"""Secrets in evidence: found before a run is sealed or exported, named by a digest, never shown.

Two sets of patterns, both of recognisable keys and tokens: those that specs are checked with (`assay.spec.secrets`) and
those of detect-secrets. Not used of the latter: detectors that guess by entropy or by a nearby word, or that look for
public addresses. Digests, base64 and ids are ordinary in evidence, and a scan that cries wolf is soon switched off.
Besides, the values themselves of environment variables that are named as keys or passwords: a server may echo them.

Bytes are read once, in blocks. A literal that each pattern needs is looked for first, then a strict form of the pattern
in the bytes, and only the lines that have it are parsed and read as text, where a secret has its exact place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from assay.errors import SecretFound
from assay.evidence.entropy import ordinary
from assay.files import digest
from assay.run import journal
from assay.run.folder import RunFolder
from assay.spec.secrets import find_under, spans

DIGEST = 16
"""Hexadecimal digits of a secret's SHA-256 that name it."""

UNSCANNED = frozenset({"results.json", "report.html", "manifest.json"})
"""Derived from what is scanned, or written after it."""

_NESTED = re.compile(r"^judging/auto/[^/]+/")
"""A judge run inside a run: its derived files are derived too."""

_BLOCK = 1 << 20
_LEAST = 12
"""A shorter value of an environment variable may stand in any text."""

Compiled = tuple[bytes, re.Pattern[bytes], bool]
"""A literal, a pattern that begins with it, and whether both are of text in lower case."""

_OWN = "own"


class Hint(NamedTuple):
    """What a line must have for a detector to be worth asking: a literal, then a pattern that begins with it."""

    literal: bytes
    pattern: bytes
    lower: bool = False


_HINTS: dict[str, tuple[Hint, ...]] = {
    _OWN: (
        Hint(b"-----BEGIN ", rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY"),
        Hint(b"PuTTY-User-Key-File", rb"PuTTY-User-Key-File"),
        Hint(b"eyJ", rb"eyJ[\w-]{8,2000}\.eyJ"),
        Hint(b"sk-", rb"sk-[\w-]{16}"),
        Hint(b"hf_", rb"hf_[A-Za-z0-9]{20}"),
        Hint(b"gh", rb"gh[oprsu]_[A-Za-z0-9]{20}"),
        Hint(b"github_pat_", rb"github_pat_"),
        Hint(b"glpat-", rb"glpat-"),
        Hint(b"AKIA", rb"AKIA[A-Z0-9]{16}"),
        Hint(b"ASIA", rb"ASIA[A-Z0-9]{16}"),
        Hint(b"AIza", rb"AIza[\w-]{30}"),
        Hint(b"xox", rb"xox[abeoprs]-"),
        Hint(b"nvapi-", rb"nvapi-"),
        Hint(b"gsk_", rb"gsk_[A-Za-z0-9]{20}"),
        Hint(b"npm_", rb"npm_[A-Za-z0-9]{36}"),
        Hint(b"earer ", rb"earer +[\w.~+/-]{16}"),
        Hint(b"://", rb"://[^\s/:@'\"<>]*:[^\s/@'\"<>]+@"),
    ),
    "ArtifactoryDetector": (
        Hint(b"AKC", rb"AKC[a-zA-Z0-9]{10}"),
        Hint(b"AP", rb"AP[\dABCDEF][a-zA-Z0-9]{8}"),
    ),
    "AWSKeyDetector": (
        *(Hint(start, start + rb"[0-9A-Z]{16}") for start in (b"ABIA", b"ACCA", b"AKIA", b"ASIA")),
        Hint(b"A3T", rb"A3T[0-9A-Z]{17}"),
        Hint(b"aws", rb"aws.{0,20}?(?:key|pwd|pw|pass|token)", lower=True),
    ),
    "AzureStorageKeyDetector": (Hint(b"AccountKey=", rb"AccountKey=[a-zA-Z0-9+/=]{88}"),),
    "DiscordBotTokenDetector": (Hint(b".", rb"\.[\w-]{6}\.[\w-]{27}"),),
    "GitHubTokenDetector": (Hint(b"gh", rb"gh[pousr]_\w{36}"),),
    "GitLabTokenDetector": (Hint(b"gl", rb"gl[a-z]{2,5}-[\w-]{20}"), Hint(b"GR1348941", rb"GR1348941")),
    "MailchimpDetector": (Hint(b"-us", rb"-us[0-9]"),),
    "PypiTokenDetector": (Hint(b"pypi-AgE", rb"pypi-AgE"),),
    "SendGridDetector": (Hint(b"SG.", rb"SG\.[\w-]{22}\.[\w-]{43}"),),
    "SlackDetector": (
        Hint(b"xox", rb"xox[abposr]-\d", lower=True),
        Hint(b"hooks.slack.com", rb"hooks\.slack\.com/services/", lower=True),
    ),
    "SquareOAuthDetector": (Hint(b"sq0csp-", rb"sq0csp-"),),
    "StripeDetector": (Hint(b"k_live_", rb"k_live_[0-9a-zA-Z]{24}"),),
    "TelegramBotTokenDetector": (Hint(b":", rb":[\w-]{35}"),),
    "TwilioKeyDetector": (Hint(b"AC", rb"AC[a-z0-9]{32}"), Hint(b"SK", rb"SK[a-z0-9]{32}")),
}
"""The detectors in use, by their class in detect-secrets. For OpenAI's keys and JSON web tokens there are our own
patterns instead: on hostile text theirs take time by the square of its length."""

_FIXED = frozenset({"MailchimpDetector", "TelegramBotTokenDetector", "TwilioKeyDetector"})
"""Detectors of a fixed length without a telling prefix: what goes on after it is a longer word, and no token."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What looks like a secret: in which file and line, of what kind, and the digest that names it."""

    path: str
    line: int
    kind: str
    digest: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}, digest {self.digest}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


class Span(NamedTuple):
    """Where in a text a secret stands, and of what kind it is."""

    start: int
    end: int
    kind: str


def scan_run(folder: RunFolder, sealed: Collection[str] = ()) -> Iterator[Secret]:
    """Every secret in the files of a run that no seal covers yet; derived files are read from the others."""
    for path in sorted(folder.path.rglob("*")):
        name = path.relative_to(folder.path).as_posix()
        covered = _NESTED.sub("", name) in UNSCANNED or name in sealed or name.startswith("sealed/")
        if path.is_file() and not path.is_symlink() and not covered:
            yield from scan_file(path, name)


def scan_file(path: Path, name: str) -> Iterator[Secret]:
    """Every secret in a file of JSON lines, or of any other text, called `name` in what is found."""
    for number, line, detectors in _suspects(path):
        for text in _texts(line):
            for span in _found(text, detectors):
                yield Secret(name, number, span.kind, name_of(text[span.start : span.end]))


def secrets_in(text: str) -> list[Span]:
    """Where the secrets of a text are, first to last; none overlaps another."""
    data = text.encode(errors="replace")
    low = data.lower()
    names = [name for name, hints in _hints().items() if any(_starts(hint, data, low) for hint in hints)]
    return _found(text, frozenset(names)) if names else []


def _starts(hint: Compiled, data: bytes, low: bytes) -> bool:
    literal, pattern, lower = hint
    return literal in (low if lower else data) and pattern.search(low if lower else data) is not None


def name_of(secret: str) -> str:
    """The name of a secret: the first 16 hexadecimal digits of its SHA-256."""
    return digest(secret.encode(errors="replace"))[:DIGEST]


def replaced(value: Any, allowed: Collection[str], note: Callable[[str, str], None] = lambda _, __: None) -> Any:
    """A JSON value with each secret in its texts and keys replaced by `[redacted:sha256:…]`.

    `note` is told the kind and the name of each.
    """
    if isinstance(value, str):
        return _replaced_text(value, allowed, note)
    if isinstance(value, Mapping):
        return {replaced(key, allowed, note): replaced(item, allowed, note) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replaced(item, allowed, note) for item in value]
    return value


def _replaced_text(text: str, allowed: Collection[str], note: Callable[[str, str], None]) -> str:
    for span in reversed(secrets_in(text)):
        name = name_of(text[span.start : span.end])
        if name not in allowed:
            note(span.kind, name)
            text = f"{text[: span.start]}[redacted:sha256:{name}]{text[span.end :]}"
    return text


def refuse(found: Collection[Secret], folder: Path) -> None:
    """Raise SecretFound where there is something to name; the message shows digests, never a secret."""
    if not found:
        return
    first = sorted({(secret.digest, secret.kind): secret for secret in reversed(list(found))}.values(), key=str)
    lines = [f"  {secret}" for secret in first[:10]]
    more = [f"  … and {len(first) - 10} more"] if len(first) > 10 else []
    raise SecretFound(
        "\n".join([f"{folder}: what looks like {len(first)} secret(s) stands in the evidence", *lines, *more]),
        hint=f"look at each; then `assay seal {folder} --redact` takes them out, and `--allow-secret DIGEST` lets one "
        "pass that is none",
    )


@cache
def scanner() -> str:
    """What looks for secrets, with its version."""
    from importlib.metadata import version

    return f"detect-secrets {version('detect-secrets')}"


# --- lines worth reading -------------------------------------------------------------------------------------------


def _suspects(path: Path) -> Iterator[tuple[int, bytes, frozenset[str]]]:
    """(line number, line, names of detectors) of every line that some hint speaks for."""
    number = 1
    with journal.opened(path) as file:
        while block := file.read(_BLOCK):
            if not block.endswith(b"\n"):
                block += file.readline()
            marked: dict[int, set[str]] = {}
            for name, start in _marks(block):
                marked.setdefault(start, set()).add(name)
            last = 0
            for start in sorted(marked):
                number += block.count(b"\n", last, start)
                last = start
                end = block.find(b"\n", start)
                yield number, block[start : end if end >= 0 else len(block)], frozenset(marked[start])
            number += block.count(b"\n", last)


def _marks(block: bytes) -> Iterator[tuple[str, int]]:
    """(detector, where the line begins) for each line of a block and each detector with a hint there."""
    low = block.lower()
    for name, hints in _hints().items():
        for literal, pattern, lower in hints:
            text = low if lower else block
            found = pattern.search(text) if literal in text else None
            while found:
                yield name, text.rfind(b"\n", 0, found.start()) + 1
                end = text.find(b"\n", found.start())
                found = pattern.search(text, end) if end >= 0 else None


def _hints() -> dict[str, tuple[Compiled, ...]]:
    return _compiled() | {name: _literally(value) for name, value in _environment().items()}


def _literally(value: str) -> tuple[Compiled, ...]:
    """Hints for a text itself, as it stands in text and as it stands in JSON."""
    forms = {
        value.encode(errors="replace"),
        orjson.dumps(value.encode(errors="replace").decode(errors="replace"))[1:-1],
    }
    return tuple((form, re.compile(re.escape(form)), False) for form in sorted(forms))


_FOLDERS = ("PWD", "OLDPWD")
"""Variables of the shell that are named as passwords are, and hold where it is and was."""


def _environment() -> dict[str, str]:
    """The environment variables that hold a secret by name and by look, or a password of 12 characters and more."""
    return {
        f"the value of {name}": value
        for name, value in os.environ.items()
        if name not in _FOLDERS and len(value) >= _LEAST and find_under(name, value) and not ordinary(value)
    }


@cache
def _compiled() -> dict[str, tuple[Compiled, ...]]:
    return {
        name: tuple((hint.literal, re.compile(hint.pattern), hint.lower) for hint in hints)
        for name, hints in _HINTS.items()
    }


def _texts(line: bytes) -> Iterator[str]:
    """The texts and keys of a line of JSON; a line of anything else as it is."""
    try:
        yield from _walk(orjson.loads(line))
    except orjson.JSONDecodeError:
        yield line.decode(errors="replace")


def _walk(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list):
            waiting += item


# --- secrets in a text ---------------------------------------------------------------------------------------------


def _found(text: str, names: frozenset[str]) -> list[Span]:
    """The spans that these detectors find, merged where they overlap."""
    known = _detectors() | {kind: _exactly(value, kind) for kind, value in _environment().items() if kind in names}
    spans_found = sorted(span for name in names for span in known[name](text))
    merged: list[Span] = []
    for span in spans_found:
        if merged and span.start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


@cache
def _detectors() -> dict[str, Callable[[str], Iterator[Span]]]:
    """Every detector in use, by name. Loads detect-secrets."""
    from importlib import import_module
    from pkgutil import iter_modules

    import detect_secrets.plugins as plugins

    known: dict[str, Callable[[str], Iterator[Span]]] = {_OWN: _own}
    for module in iter_modules(plugins.__path__):
        for name, kind in vars(import_module(f"{plugins.__name__}.{module.name}")).items():
            if name in _HINTS:
                known[name] = _plugin(name, kind())
    if missing := sorted(set(_HINTS) - set(known)):
        raise RuntimeError(f"detect-secrets has no {', '.join(missing)}")
    return known


def _exactly(value: str, kind: str) -> Callable[[str], Iterator[Span]]:
    def find(text: str) -> Iterator[Span]:
        return (Span(*match.span(), kind) for match in re.finditer(re.escape(value), text))

    return find


def _plugin(name: str, plugin: Any) -> Callable[[str], Iterator[Span]]:
    def find(text: str) -> Iterator[Span]:
        for pattern in plugin.denylist:
            for match in pattern.finditer(text):
                start, end = _value(match)
                if start and _word(text[start - 1]) and start == match.start():
                    continue  # the end of a longer word
                longer = _word_end(text, end)
                if (longer > end and name in _FIXED) or ordinary(text[start:longer]):
                    continue
                yield Span(start, longer, f"{_article(plugin.secret_type)} (detect-secrets)")

    return find


def _value(match: re.Match[str]) -> tuple[int, int]:
    """Where the secret itself is: the longest group, unless it holds but a part such as `ghp`."""
    groups = [match.span(number) for number in range(1, (match.re.groups or 0) + 1) if match.group(number)]
    longest = max(groups, key=lambda span: span[1] - span[0], default=match.span())
    return longest if longest[1] - longest[0] >= DIGEST else match.span()


def _word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


def _word_end(text: str, end: int) -> int:
    while end < len(text) and _word(text[end]):
        end += 1
    return end


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIO' else 'a'} {kind}"


_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----([^-]*)(?:-----END [A-Z0-9 ]{0,60}-----)?")
_PUTTY = re.compile(r"PuTTY-User-Key-File-\d.{0,5000}?Private-Lines: \d{1,6}\s+\S.*", re.S)
_BODY = 48
"""Characters of base64 that a private key has at least (Ed25519's has 64); less is talk of keys."""


def _own(text: str) -> Iterator[Span]:
    for match in _PEM.finditer(text):
        if len(re.findall(r"[A-Za-z0-9+/=]", match.group(1))) >= _BODY:
            yield Span(*match.span(), "a private key")
    for match in _PUTTY.finditer(text):
        yield Span(*match.span(), "a private key")
    for start, end, kind in spans(text):
        if kind == "a private key":
            continue  # its header alone; see above
        if kind == "a URL with a password":
            start, end = text.index(":", text.index("://", start) + 3) + 1, end - 1
        if not ordinary(text[start:end], password=kind == "a URL with a password"):
            yield Span(start, end, kind)
