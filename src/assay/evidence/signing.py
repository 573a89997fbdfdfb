"""Signatures on evidence: who vouches for a sealed run, or for a verdict.

A signature is an in-toto Statement v1 (https://in-toto.io/Statement/v1) in a DSSE envelope, in a file beside what it
signs: `manifest.sig.json` beside `manifest.json`, `verdicts/NAME.sig.json` beside `verdicts/NAME.json`. Its subject is
that file's SHA-256; its predicate repeats the facts that a reader decides by, and must agree with the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from assay.errors import ConfigError, EvidenceError, MachineError, Problem
from assay.evidence import dsse
from assay.evidence.keys import SigningKey, VerifyKey
from assay.files import canonical, digest_file, pretty, read_json, write_atomic
from assay.run.folder import MANIFEST_SCHEMA

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
MANIFEST_PREDICATE = "urn:assay:manifest:v1"
VERDICT_PREDICATE = "urn:assay:verdict:v1"
_FACTS = ("kind", "id", "created", "plan", "synthetic", "tool", "source", "parents")


@dataclass
class Check:
    """What is wrong with a signature; the keys that verify it; and the signatures that no given key verifies."""

    problems: list[str] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)


def beside(subject: Path) -> Path:
    """Where the signature of a file stands."""
    return subject.with_name(f"{subject.stem}.sig.json")


def sign(subject: Path, key: SigningKey) -> Path:
    """Sign a manifest or a verdict; returns the envelope's path. An envelope of other keys gets one signature more.

    Raises ConfigError where the file is neither, or where the envelope there is of something else; MachineError where
    it cannot be written.
    """
    path = beside(subject)
    payload = canonical(statement(subject))
    envelope = dsse.Envelope(payload, PAYLOAD_TYPE)
    if path.exists():
        envelope = dsse.read(path)
        if (envelope.payload, envelope.payload_type) != (payload, PAYLOAD_TYPE):
            raise ConfigError(f"{path} signs something else than {subject} is now", hint="look at it, then remove it")
    try:
        write_atomic(path, pretty(envelope.signed(key).to_json()))
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="signing", errno=error.errno) from error
    return path


def statement(subject: Path) -> dict[str, Any]:
    """The in-toto statement about a manifest or a verdict. Raises ConfigError where the file is neither."""
    try:
        document = read_json(subject)
    except EvidenceError as error:
        raise ConfigError(error.message) from None
    schema = str(document.get("schema"))
    if not schema.startswith("assay."):
        problem = Problem("not evidence of assay's", where=str(subject), allowed="a sealed run, or a file of verdicts/")
        raise ConfigError(problem)
    manifest = schema == MANIFEST_SCHEMA
    return {
        "_type": STATEMENT,
        "subject": [{"name": subject.name, "digest": {"sha256": digest_file(subject)}}],
        "predicateType": MANIFEST_PREDICATE if manifest else VERDICT_PREDICATE,
        "predicate": {"schema": schema, **(_manifest_facts(document) if manifest else _plain_facts(document))},
    }


def _manifest_facts(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document.get(key) for key in _FACTS}


def _plain_facts(document: dict[str, Any]) -> dict[str, Any]:
    """What a verdict says in one word or number each: the gate, the verdict, the failure class."""
    return {key: value for key, value in document.items() if value is None or isinstance(value, str | int | float)}


def check(subject: Path, keys: Sequence[VerifyKey] = ()) -> Check:
    """Whether a file is signed as it is; with `keys`, by one of them.

    Without keys the envelope is only read: its subject must be the file, its facts the file's. What it says is then
    consistent, and anyone may have said it.
    """
    path, found = beside(subject), Check()
    if not path.exists():
        found.problems.append(f"missing: {subject.name} is not signed")
        return found
    try:
        envelope = dsse.read(path)
    except EvidenceError as error:
        found.problems.append(error.message.removeprefix(f"{path}: "))
        return found
    if keys:
        _check_keys(envelope, keys, found)
    if not found.problems:
        found.problems += _disagreements(envelope, subject)
    return found


def _check_keys(envelope: dsse.Envelope, keys: Sequence[VerifyKey], found: Check) -> None:
    good, rest = envelope.verified(keys)
    found.verified = sorted(good)
    found.unverified = [signature.keyid or "(no keyid)" for signature in rest]
    if not good:
        made = ", ".join(keyid[:16] for keyid in found.unverified)
        found.problems.append(f"no signature by a given key; it claims to be signed by {made}")


def _disagreements(envelope: dsse.Envelope, subject: Path) -> list[str]:
    """How an envelope differs from one that signs the file as it is."""
    if envelope.payload_type != PAYLOAD_TYPE:
        return [f"the payload's type is {envelope.payload_type[:100]!r}, expected {PAYLOAD_TYPE!r}"]
    try:
        value = orjson.loads(envelope.payload)
        expected = statement(subject)
    except orjson.JSONDecodeError:
        return ["the payload is not JSON"]
    except ConfigError as error:
        return [error.message]
    if not isinstance(value, dict) or value.get("_type") != STATEMENT:
        return ["the payload is no in-toto statement, version 1"]
    if value.get("predicateType") != expected["predicateType"]:
        return [f"it states {str(value.get('predicateType'))[:100]!r}, expected {expected['predicateType']!r}"]
    if not _has_subject(value.get("subject"), expected["subject"][0]):
        return [f"its subject is not {subject.name} as it is now: the file was changed, or another one was signed"]
    if value.get("predicate") != expected["predicate"]:
        return [f"what it says of {subject.name} is not what the file says"]
    return []


def _has_subject(listed: Any, expected: dict[str, Any]) -> bool:
    """Whether a statement is about a file: subjects are matched by digest, as in-toto asks."""
    if not isinstance(listed, list):
        return False
    digests = [item.get("digest") for item in listed if isinstance(item, dict)]
    return any(isinstance(found, dict) and found.get("sha256") == expected["digest"]["sha256"] for found in digests)
