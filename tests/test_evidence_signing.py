"""Signatures: made in a form that other implementations accept, refused for every way in which they can be wrong."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError, EvidenceError, MissingExtra
from assay.evidence import dsse
from assay.evidence.keys import SigningKey, make, signing_key, verify_key
from assay.evidence.signing import PAYLOAD_TYPE, beside, check, sign
from assay.files import canonical, pretty

VERDICT = {
    "schema": "assay.gate.v1",
    "gate": "compare",
    "verdict": "ACCEPT",
    "exit_code": 0,
    "failure_class": None,
    "reasons": ["no loss beyond the margin"],
    "inputs": [],
}


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    make(tmp_path / "a.key")
    return signing_key(str(tmp_path / "a.key"))


@pytest.fixture
def verdict(tmp_path: Path) -> Path:
    path = tmp_path / "compare.json"
    path.write_bytes(pretty(VERDICT))
    return path


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the envelope beside a file."""
    envelope = json.loads(beside(path).read_text())
    change(envelope)
    beside(path).write_text(json.dumps(envelope))


def test_a_pair_of_keys_is_made_once_and_the_private_one_is_private(tmp_path: Path) -> None:
    made = make(tmp_path / "keys" / "release.key")
    assert stat.S_IMODE((tmp_path / "keys" / "release.key").stat().st_mode) == 0o600
    assert verify_key(str(tmp_path / "keys" / "release.key.pub")).id == made.id
    assert signing_key(str(tmp_path / "keys" / "release.key")).public.id == made.id
    with pytest.raises(ConfigError, match="never overwritten"):
        make(tmp_path / "keys" / "release.key")


def test_keys_come_from_the_environment(key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE_KEY", (tmp_path / "a.key").read_text())
    assert signing_key("env:RELEASE_KEY").public.id == key.public.id
    with pytest.raises(ConfigError, match="OTHER_KEY is not set"):
        signing_key("env:OTHER_KEY")


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
@pytest.mark.parametrize("read", [signing_key, verify_key])
def test_what_is_no_key_is_refused_and_not_quoted(text: str, read: Callable[[str], object], tmp_path: Path) -> None:
    (tmp_path / "k").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(str(tmp_path / "k"))
    assert "AAAA" not in str(caught.value)
    with pytest.raises(ConfigError, match="no such file"):
        read(str(tmp_path / "missing"))


def test_keys_of_the_wrong_half_or_kind_are_refused(key: SigningKey, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    with pytest.raises(ConfigError, match="holds a private key"):
        verify_key(str(tmp_path / "a.key"))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    other = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "ec").write_bytes(other.private_bytes(*form, serialization.NoEncryption()))
    with pytest.raises(ConfigError, match="another kind"):
        signing_key(str(tmp_path / "ec"))
    locked = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "locked").write_bytes(locked.private_bytes(*form, serialization.BestAvailableEncryption(b"x")))
    with pytest.raises(ConfigError, match="encrypted"):
        signing_key(str(tmp_path / "locked"))


def test_without_cryptography_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(MissingExtra, match=r"assay\[sign\]"):
        make(tmp_path / "k")


def test_a_signed_verdict_holds_and_signing_again_changes_nothing(key: SigningKey, verdict: Path) -> None:
    sign(verdict, key)
    first = beside(verdict).read_bytes()
    found = check(verdict, [key.public])
    assert (found.problems, found.verified, found.unverified) == ([], [key.public.id], [])
    sign(verdict, key)
    assert beside(verdict).read_bytes() == first


def test_an_unsigned_verdict_is_not_signed(key: SigningKey, verdict: Path) -> None:
    assert check(verdict, [key.public]).problems == ["missing: compare.json is not signed"]


def test_an_unknown_key_is_refused(key: SigningKey, verdict: Path, tmp_path: Path) -> None:
    sign(verdict, key)
    [problem] = check(verdict, [make(tmp_path / "b.key")]).problems
    assert "no signature by a given key" in problem
    assert key.public.id[:16] in problem


def test_a_known_keyid_on_another_keys_signature_is_refused(key: SigningKey, verdict: Path, tmp_path: Path) -> None:
    known = make(tmp_path / "b.key")
    sign(verdict, key)
    changed(verdict, lambda envelope: envelope["signatures"][0].update(keyid=known.id))
    assert "no signature by a given key" in check(verdict, [known]).problems[0]


def test_a_changed_subject_is_refused(key: SigningKey, verdict: Path) -> None:
    sign(verdict, key)
    verdict.write_bytes(pretty(VERDICT | {"verdict": "REGRESSION"}))
    for keys in ([key.public], []):
        assert "as it is now" in check(verdict, keys).problems[0]
    with pytest.raises(ConfigError, match="signs something else"):
        sign(verdict, key)


def test_a_changed_payload_is_refused(key: SigningKey, verdict: Path) -> None:
    sign(verdict, key)
    other = base64.b64encode(b"{}").decode()
    changed(verdict, lambda envelope: envelope.update(payload=other))
    assert "no signature by a given key" in check(verdict, [key.public]).problems[0]


def test_the_payloads_type_is_signed(key: SigningKey, verdict: Path) -> None:
    sign(verdict, key)
    changed(verdict, lambda envelope: envelope.update(payloadType="text/plain"))
    assert "no signature by a given key" in check(verdict, [key.public]).problems[0]
    assert "the payload's type is 'text/plain'" in check(verdict).problems[0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "no in-toto statement"),
        (lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"), "expected 'urn:assay:verdict:v1'"),
        (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "as it is now"),
        (lambda s: s.update(subject="compare.json"), "as it is now"),
        (lambda s: s.update(subject=[{"digest": ["sha256"]}, 3]), "as it is now"),
        (lambda s: s["predicate"].update(verdict="REGRESSION"), "not what the file says"),
        (lambda s: s.clear(), "no in-toto statement"),
    ],
)
def test_a_statement_that_a_key_signed_must_fit_the_file(
    change: Callable[[dict[str, Any]], object], problem: str, key: SigningKey, verdict: Path
) -> None:
    sign(verdict, key)
    statement = json.loads(dsse.read(beside(verdict)).payload)
    change(statement)
    envelope = dsse.Envelope(canonical(statement), PAYLOAD_TYPE).signed(key)
    beside(verdict).write_bytes(pretty(envelope.to_json()))
    assert problem in check(verdict, [key.public]).problems[0]


def test_two_keys_sign_and_one_is_enough(key: SigningKey, verdict: Path, tmp_path: Path) -> None:
    make(tmp_path / "b.key")
    other = signing_key(str(tmp_path / "b.key"))
    sign(verdict, key)
    sign(verdict, other)
    assert set(check(verdict, [key.public, other.public]).verified) == {key.public.id, other.public.id}
    found = check(verdict, [other.public])
    assert (found.problems, found.verified, found.unverified) == ([], [other.public.id], [key.public.id])


HOSTILE = [
    b"",
    b"[]",
    b"{",
    b"null",
    b"\xff\xfe",
    b'{"payload":"","payloadType":"","signatures":[]}',
    b'{"payload":1,"payloadType":"a","signatures":[{"sig":""}]}',
    b'{"payload":"!!","payloadType":"a","signatures":[{"sig":""}]}',
    b'{"payload":"","payloadType":["a"],"signatures":[{"sig":""}]}',
    b'{"payload":"","payloadType":"a","signatures":{"sig":""}}',
    b'{"payload":"","payloadType":"a","signatures":["x"]}',
    b'{"payload":"","payloadType":"a","signatures":[{"keyid":5,"sig":""}]}',
    b'{"payload":"","payloadType":"a","signatures":[{"keyid":"x"}]}',
    b'{"payload":"","payloadType":"a","signatures":[' + b",".join([b'{"sig":""}'] * 65) + b"]}",
    b'{"a":' * 5000,
    b" " * (dsse.LARGEST + 1),
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_envelope_is_a_problem_and_no_crash(data: bytes, key: SigningKey, verdict: Path) -> None:
    beside(verdict).write_bytes(data)
    assert len(check(verdict, [key.public]).problems) == 1


@given(
    st.binary(max_size=300)
    | st.builds(
        canonical,
        st.recursive(
            st.none() | st.text() | st.integers(-9, 9),
            lambda item: (
                st.lists(item)
                | st.dictionaries(st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"]), item)
            ),
        ),
    )
)
def test_parsing_gives_an_envelope_or_says_why_not(data: bytes) -> None:
    try:
        assert dsse.parse(data).signatures
    except EvidenceError as error:
        assert "envelope" in error.message


@given(st.binary(), st.text(), st.binary(max_size=80))
def test_an_envelope_survives_its_json(payload: bytes, kind: str, sig: bytes) -> None:
    envelope = dsse.Envelope(payload, kind, (dsse.Signature("k", sig),))
    assert dsse.parse(canonical(envelope.to_json())) == envelope


def test_the_bytes_that_are_signed_are_those_of_the_specification() -> None:
    # The example of the DSSE specification's protocol.md.
    envelope = dsse.Envelope(b"hello world", "http://example.com/HelloWorld")
    assert envelope.encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_base64_for_urls_is_read_as_well() -> None:
    value = {"payload": "-_-_", "payloadType": "a", "signatures": [{"sig": "-_8="}]}
    assert dsse.parse(canonical(value)).payload == base64.b64decode("+/+/")


def test_securesystemslib_accepts_ours(key: SigningKey, verdict: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    sign(verdict, key)
    public = SSlibKey.from_crypto(load_pem_public_key((tmp_path / "a.key.pub").read_bytes()))
    assert public.keyid == key.public.id
    document = json.loads(beside(verdict).read_text())
    assert Envelope.from_dict(json.loads(json.dumps(document))).verify([public], 1) == {public.keyid: public}
    document["payload"] = base64.b64encode(b"{}").decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(document).verify([public], 1)


def test_in_toto_accepts_our_statement(key: SigningKey, verdict: Path) -> None:
    import in_toto_attestation.v1.statement_pb2 as statement_pb2
    from google.protobuf import json_format
    from in_toto_attestation.v1.statement import Statement

    sign(verdict, key)
    message = json_format.Parse(dsse.read(beside(verdict)).payload, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    assert message.subject[0].name == "compare.json"
    assert message.predicate["verdict"] == "ACCEPT"


def test_we_accept_an_envelope_of_securesystemslib(key: SigningKey, verdict: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    sign(verdict, key)
    payload = dsse.read(beside(verdict)).payload
    envelope = Envelope(json.dumps(json.loads(payload), indent=1).encode(), PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(load_pem_private_key((tmp_path / "a.key").read_bytes(), None)))
    beside(verdict).write_text(json.dumps(envelope.to_dict()))
    assert check(verdict, [key.public]).problems == []


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": "other.v1"}', "no json"])
def test_only_evidence_is_signed(text: str, key: SigningKey, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError):
        sign(tmp_path / "x.json", key)
    with pytest.raises(ConfigError, match="no such file"):
        sign(tmp_path / "missing.json", key)
