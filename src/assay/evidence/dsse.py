"""DSSE envelopes: a payload, its type, and signatures over both.

Source: the DSSE specification, version 1.0.2 (secure-systems-lab/dsse), protocol and envelope. An envelope is hostile
until a trusted key verifies it: its size, its structure and its base64 are checked before anything is decoded.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from assay.errors import EvidenceError
from assay.evidence.keys import SigningKey, VerifyKey

LARGEST = 4 << 20
"""Bytes of an envelope; ours have a few thousand."""

MOST_SIGNATURES = 64


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature. `keyid` is a hint that anyone can write; only trying a key tells."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """What was signed, of what type, and by whom."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...] = ()

    @property
    def encoded(self) -> bytes:
        """The pre-authentication encoding: the bytes that are signed."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)

    def signed(self, key: SigningKey) -> Envelope:
        """With the key's signature; one that it made before is replaced."""
        others = tuple(other for other in self.signatures if other.keyid != key.public.id)
        return Envelope(self.payload, self.payload_type, (*others, Signature(key.public.id, key.sign(self.encoded))))

    def verified(self, keys: Sequence[VerifyKey]) -> tuple[set[str], list[Signature]]:
        """(ids of the keys that verify a signature, signatures that none of them verifies)."""
        data = self.encoded
        good: set[str] = set()
        rest = []
        for signature in self.signatures:
            by = {key.id for key in keys if key.verifies(signature.sig, data)}
            good |= by
            if not by:
                rest.append(signature)
        return good, rest

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": signature.keyid, "sig": base64.b64encode(signature.sig).decode()}
                for signature in self.signatures
            ],
        }


def read(path: Path) -> Envelope:
    """The envelope in a file. Raises EvidenceError that names the file and what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}") from None
    if len(data) > LARGEST:
        raise EvidenceError(f"{path}: larger than {LARGEST} bytes: no envelope of ours")
    try:
        return parse(data)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error.message}") from None


def parse(data: bytes) -> Envelope:
    """An envelope from its JSON. Raises EvidenceError."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise EvidenceError(f"not an envelope: not JSON ({error})") from None
    if not isinstance(value, dict) or not {"payload", "payloadType", "signatures"} <= set(value):
        raise EvidenceError("not an envelope: it needs payload, payloadType and signatures")
    kind, listed = value["payloadType"], value["signatures"]
    if not isinstance(kind, str) or not isinstance(listed, list):
        raise EvidenceError("not an envelope: payloadType is a text, signatures a list")
    if not 1 <= len(listed) <= MOST_SIGNATURES:
        raise EvidenceError(f"an envelope has 1 to {MOST_SIGNATURES} signatures, this one has {len(listed)}")
    return Envelope(_bytes(value["payload"], "payload"), kind, tuple(map(_signature, listed)))


def _signature(value: Any) -> Signature:
    if not isinstance(value, dict) or not isinstance(value.get("keyid", ""), str):
        raise EvidenceError("not an envelope: a signature is an object with sig and perhaps a keyid")
    return Signature(value.get("keyid", ""), _bytes(value.get("sig"), "sig"))


def _bytes(value: Any, name: str) -> bytes:
    """Bytes from base64, in the standard alphabet or the one for URLs, as the specification asks of readers."""
    try:
        return base64.b64decode(value.translate(_STANDARD), validate=True)
    except (AttributeError, binascii.Error, ValueError):
        raise EvidenceError(f"not an envelope: {name} is not base64") from None


_STANDARD = str.maketrans("-_", "+/")
