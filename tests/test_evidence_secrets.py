"""Secrets are found before anything is sealed or exported, wherever they stand, and ordinary text is left alone."""

from __future__ import annotations

import json
import random
import re
import string
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import assay
from assay.errors import ConfigError, SecretFound
from assay.evidence.secrets import Secret, name_of, replaced, scan_file, secrets_in
from assay.evidence.verify import verify
from assay.session import seal_run
from support.evals import spec
from support.stub import Stub


def drawn(alphabet: str, length: int, seed: int = 1) -> str:
    """Random characters that are the same every time."""
    return "".join(random.Random(seed).choices(alphabet, k=length))


ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
HEX = "0123456789abcdef"

# Put together here, so that no scanner takes this file for a leak.
SECRETS = {
    "openai": "sk-" + "proj-" + drawn(ALNUM, 40),
    "openai-old": "sk-" + drawn(ALNUM, 20) + "T3Blbk" + "FJ" + drawn(ALNUM, 20, 2),
    "huggingface": "hf_" + drawn(ALNUM, 34),
    "github": "ghp_" + drawn(ALNUM, 36),
    "github-pat": "github_pat_" + drawn(ALNUM, 60),
    "gitlab": "glpat-" + drawn(ALNUM, 20),
    "gitlab-runner": "glrt-" + drawn(ALNUM, 20),
    "aws": "AKIA" + drawn(string.ascii_uppercase + string.digits, 16),
    "google": "AIza" + drawn(ALNUM, 35),
    "slack": "xoxb-" + "214748364712-" + drawn(LOWER, 24),
    "nvidia": "nvapi-" + drawn(ALNUM, 40),
    "groq": "gsk_" + drawn(ALNUM, 40),
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + drawn(ALNUM, 43),
    "bearer": "Bearer " + drawn(ALNUM, 32),
    "stripe": "sk_" + "live_" + drawn(ALNUM, 24),
    "stripe-long": "rk_" + "live_" + drawn(ALNUM, 99),
    "sendgrid": "SG." + drawn(ALNUM, 22) + "." + drawn(ALNUM, 43, 2),
    "npm": "//registry.example.com/:_auth" + "Token=npm_" + drawn(ALNUM, 36),
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + drawn(ALNUM, 90),
    "telegram": "110201543" + ":" + drawn(ALNUM, 35),
    "twilio": "AC" + drawn(HEX, 32),
    "mailchimp": drawn(HEX, 32) + "-us" + "12",
    "azure": "AccountKey=" + drawn(ALNUM, 86) + "==",
    "discord": "M" + drawn(ALNUM, 23) + "." + drawn(ALNUM, 6, 2) + "." + drawn(ALNUM, 27, 3),
    "square": "sq0csp-" + drawn(ALNUM, 43),
    "url": "postgres://app:" + drawn(ALNUM, 14) + "@db.internal:5432/prod",
    "pem": "-----BEGIN RSA "
    + f"PRIVATE KEY-----\n{drawn(ALNUM, 64)}\n{drawn(ALNUM, 64, 2)}\n-----END RSA PRIVATE KEY-----",
    "pgp": "-----BEGIN PGP " + f"PRIVATE KEY BLOCK-----\n\n{drawn(ALNUM, 64)}\n-----END PGP PRIVATE KEY BLOCK-----",
    "aws-secret": "aws_secret_access_" + f"key = '{drawn(ALNUM + '/+', 40)}'",
}

ORDINARY = [
    "",
    drawn(HEX, 64),
    drawn(HEX, 40),
    f"sha256:{drawn(HEX, 64)}",
    drawn(ALNUM + "+/", 400) + "==",
    f"chatcmpl-{drawn(ALNUM, 29)}",
    f"1700000000:{drawn(HEX, 40)}",
    "550e8400-e29b-41d4-a716-446655440000",
    "a task-by-task comparison of risk-averse-and-other-strategies-2024",
    "connect to postgres://user:password@localhost/db or mysql://root:root@localhost",
    "redis://:${REDIS_PASSWORD}@cache:6379 and https://{user}:{token}@example.org",
    "export OPENAI_API_KEY=sk-" + "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "api_key='sk-" + "1234567890abcdef1234567890abcdef'",
    "openai.api_key = 'sk-" + "your-api-key-goes-here-0000'",
    "AKIA" + "IOSFODNN7EXAMPLE is Amazon's own example",
    "ssh keys begin with -----BEGIN OPENSSH " + "PRIVATE KEY----- and end with -----END OPENSSH PRIVATE KEY-----",
    "Authorization: Bearer YOUR_ACCESS_TOKEN_1",
    "The ratio is 3:4 at 10:30:59, see http://example.org:8080/a@b",
    " APATOSAURUS ACCOMMODATIONSTRATEGIES",
]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("around", ["{}", "the answer:\n{}\nand so on", 'key = "{}"', "\t{}"])
def test_a_secret_is_found_in_a_line_of_json_and_named_by_its_digest(tmp_path: Path, name: str, around: str) -> None:
    text = around.format(SECRETS[name])
    path = tmp_path / "0000.jsonl"
    path.write_bytes(b'{"n":1}\n' + orjson.dumps({"completion": {"text": text}}) + b'\n{"n":3}\n')
    found = list(scan_file(path, "attempts/0000.jsonl"))
    assert [(secret.path, secret.line) for secret in found] == [("attempts/0000.jsonl", 2)]
    [span] = secrets_in(text)
    assert found[0].digest == name_of(text[span.start : span.end])
    assert SECRETS[name] not in str(found[0])


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str, tmp_path: Path) -> None:
    assert secrets_in(text) == []
    (tmp_path / "lines.jsonl").write_bytes(orjson.dumps({"text": text}) + b"\n")
    assert list(scan_file(tmp_path / "lines.jsonl", "lines.jsonl")) == []


@pytest.mark.parametrize("name", SECRETS)
def test_nothing_of_a_redacted_secret_is_left(name: str) -> None:
    value = {"text": f"before {SECRETS[name]} after", "list": [SECRETS[name], 1, None]}
    told: list[tuple[str, str]] = []
    clean = replaced(value, (), lambda kind, digest: told.append((kind, digest)))
    assert len(told) == 2
    assert "[redacted:sha256:" in clean["text"]
    assert clean["text"].startswith("before ")
    assert clean["text"].endswith(" after")
    parts = re.findall(r"[A-Za-z0-9+/]{14,}", SECRETS[name])
    assert max(parts, key=len)[-12:] not in json.dumps(clean)
    assert replaced(clean, ()) == clean


def test_an_allowed_secret_stays() -> None:
    text = SECRETS["github"]
    assert replaced(text, {name_of(text)}) == text


def test_a_key_of_an_object_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(orjson.dumps({SECRETS["aws"]: 1}) + b"\n")
    assert [secret.line for secret in scan_file(tmp_path / "x", "x")] == [1]


def test_lines_are_counted_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.evidence import secrets

    monkeypatch.setattr(secrets, "_BLOCK", 100)
    lines = [f"line {number} " + "x" * (number % 50) for number in range(200)]
    for number in (0, 63, 64, 199):
        lines[number] = SECRETS["github"]
    (tmp_path / "x").write_text("\n".join(lines))
    assert [secret.line for secret in scan_file(tmp_path / "x", "x")] == [1, 64, 65, 200]


def test_where_a_shell_is_is_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    value = "/srv/w0rk/a_real_search_of_two_reci0"
    for name in ("PWD", "OLDPWD"):
        monkeypatch.setenv(name, value)
    (tmp_path / "file.json").write_text(f'{{"path": "{value}"}}')
    assert not list(scan_file(tmp_path / "file.json", "file.json"))
    monkeypatch.setenv("LAB_PWD", value)
    assert list(scan_file(tmp_path / "file.json", "file.json"))


def test_what_the_environment_holds_as_a_key_is_known_by_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    value = drawn(LOWER, 24)
    assert secrets_in(f"denied: {value}") == []
    monkeypatch.setenv("LAB_API_KEY", value)
    [span] = secrets_in(f"denied: {value}")
    assert (span.start, span.end, span.kind) == (8, 32, "the value of LAB_API_KEY")


HOSTILE = (
    "eyJ|eyJ-|-eyJ.|sk-|sk-a1-|a://|://a:|AKC|:AKC:|xoxb-1-|bearer |aws|-us1|T3BlbkFJ|M.|SG.|1:|gl|"
    "-----BEGIN |-----BEGIN PRIVATE KEY-----|PuTTY-User-Key-File-2"
)


@pytest.mark.parametrize("part", HOSTILE.split("|"))
def test_hostile_text_takes_no_time_to_speak_of(part: str, tmp_path: Path) -> None:
    text = part * (300_000 // len(part)) + "!"
    (tmp_path / "x").write_bytes(orjson.dumps({"text": text}) + b"\n" + b"[" * 3000 + b"\n")
    assert all(secret.line == 1 for secret in scan_file(tmp_path / "x", "x"))


def test_deep_nesting_is_looked_through(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"[" * 1000 + orjson.dumps(SECRETS["github"]) + b"]" * 1000 + b"\n")
    assert [secret.line for secret in scan_file(tmp_path / "x", "x")] == [1]


@given(st.text(), st.sampled_from(sorted(SECRETS)), st.text())
def test_text_around_a_secret_neither_hides_it_nor_breaks_anything(before: str, name: str, after: str) -> None:
    text = f"{before} {SECRETS[name]} {after}"
    assert secrets_in(text)
    assert secrets_in(replaced(text, ())) == []


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda item: st.lists(item) | st.dictionaries(st.text(), item))
)
def test_redaction_leaves_what_holds_no_secret(value: object) -> None:
    assert replaced(value, ()) == value


LEAK = SECRETS["github"]


def answer(prompt: str, _: int) -> str:
    return f"yes, and my key is\n{LEAK}" if "Is 3 even" in prompt else "no"


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    with Stub(answer=answer) as stub, pytest.raises(SecretFound) as caught:
        assay.evaluate(spec(tmp_path, stub.url, 8), out=tmp_path / "run")
    assert LEAK not in str(caught.value)
    assert f"digest {name_of(LEAK)}" in str(caught.value)
    assert "attempts/0000.jsonl:" in str(caught.value)
    assert caught.value.exit_code == 1
    return tmp_path / "run"


def test_a_leak_blocks_the_seal_until_it_is_allowed_by_name(blocked: Path) -> None:
    assert not (blocked / "manifest.json").exists()
    with pytest.raises(SecretFound):
        seal_run(blocked)
    manifest = seal_run(blocked, allow=[name_of(LEAK)])
    assert manifest["secrets"]["allowed"] == [name_of(LEAK)]
    assert manifest["environment"]["models"]
    assert verify(blocked) == []


def test_a_leak_that_is_taken_out_leaves_a_run_that_verifies(blocked: Path) -> None:
    manifest = seal_run(blocked, redact=True)
    taken = manifest["secrets"]["redacted"]
    assert {(item["path"], item["digest"]) for item in taken} >= {("attempts/0000.jsonl", name_of(LEAK))}
    assert manifest["secrets"]["allowed"] == []
    for path in blocked.rglob("*"):
        assert path.is_dir() or LEAK.encode() not in path.read_bytes()
    assert f"[redacted:sha256:{name_of(LEAK)}]" in (blocked / "attempts" / "0000.jsonl").read_text()
    assert verify(blocked) == []
    assert len(assay.open(blocked)) == 8


def test_what_is_sealed_is_not_sealed_again(blocked: Path) -> None:
    seal_run(blocked, redact=True)
    with pytest.raises(ConfigError, match="sealed already"):
        seal_run(blocked, redact=True)


def test_a_layer_keeps_what_was_allowed_before(blocked: Path) -> None:
    from assay.plan.scorers import rescorers
    from assay.session import score

    seal_run(blocked, allow=[name_of(LEAK)])
    again = score(blocked, rescorers(assay.open(blocked).plan, (), "contains"))
    assert again.sealed
    assert again.verify() == []


def test_a_leak_in_a_sample_cannot_be_redacted(tmp_path: Path) -> None:
    with Stub() as stub:
        asked = spec(tmp_path, stub.url, 2)
        (tmp_path / "questions.jsonl").write_text(json.dumps({"id": "a", "input": f"Is {LEAK} even?", "target": "no"}))
        with pytest.raises(SecretFound, match=r"samples/parity\.jsonl:1"):
            assay.evaluate(asked, out=tmp_path / "run")
    with pytest.raises(SecretFound, match=r"samples/parity\.jsonl:1"):
        seal_run(tmp_path / "run", redact=True)


def test_an_unsealed_run_with_a_leak_is_not_exported(blocked: Path, tmp_path: Path) -> None:
    with pytest.raises(SecretFound):
        assay.open(blocked).export(tmp_path / "rows.jsonl", "jsonl")
    assert not (tmp_path / "rows.jsonl").exists()
    seal_run(blocked, redact=True)
    assert assay.open(blocked).export(tmp_path / "rows.jsonl", "jsonl") == 8
    assert LEAK not in (tmp_path / "rows.jsonl").read_text()


@pytest.mark.data
def test_public_data_and_real_completions_hold_no_secrets(data: Path) -> None:
    found: list[Secret] = []
    for folder in ("gsm8k", "model-samples", "foreign-logs"):
        for path in sorted((data / folder).rglob("*.json*")):
            found += scan_file(path, str(path))
    assert found == []
