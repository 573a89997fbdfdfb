"""Health, looked at for real: SmolLM2 whole and with corrupted weights, on llama.cpp's server; logs of real servers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.errors import ConfigError, EvidenceError, FailureClass
from assay.gates.health import Limits, gate
from assay.gates.health_view import Observation
from assay.gates.result import Verdict
from assay.models.deployment import Deployed, Now
from assay.models.named import SMOLLM2_FILE
from assay.release import health_log, health_text
from assay.release.deployers.base import Deployment, Settings, find
from assay.release.deployers.process import free_port
from assay.release.health import check, observe, source_of
from support.brief import shortened
from support.stub import Fault, Stub

SETTINGS = Settings(slots=4, context=512, threads=2, deadline_s=120)
Change = Callable[[str, Any], None]


@pytest.fixture(scope="module")
def path(downloads: Path) -> Path:
    """The model's file, fetched into the shared downloads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_HOME", str(downloads.parent))
        return SMOLLM2_FILE.fetch()


def corrupted(path: Path, target: Path, change: Change) -> Path:
    """A copy of the file, with the bytes of some tensors changed in place: the header stays as it is."""
    gguf = pytest.importorskip("gguf", reason="needs the extra `local`")
    target.write_bytes(path.read_bytes())
    for tensor in gguf.GGUFReader(target, "r+").tensors:
        change(tensor.name, tensor.data)
    return target


@pytest.fixture(scope="module")
def sources(path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Observation, Observation]:
    """What is seen of the model as it should be: by the whole text, and by a brief one, which the corrupted get."""
    place = tmp_path_factory.mktemp("source")
    told: list[tuple[str, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_HOME", str(place))
        with find("llamacpp").deploy(path, SETTINGS, place / "log") as deployment:
            result, seen = check(deployment, progress=lambda what, count: told.append((what, count)))
            shortened(patch)
            quick, few = check(deployment)
    assert result.verdict is quick.verdict is Verdict.PASS, (result.reasons, quick.reasons)
    assert told.count(("health: answers 8/8", 0)) == told.count(("health: passages 8/8", 0)) == 1
    assert source_of(result.to_json()).loss == pytest.approx(seen.loss)
    assert few.passages == seen.passages[:2]
    assert "same_texts" in {one.name for one in gate(few, seen).checks if one.ok is False}
    return seen, few


@pytest.mark.local
@pytest.mark.slow
def test_a_healthy_model_is_seen_as_it_is(sources: tuple[Observation, Observation]):
    source, _ = sources
    assert (source.alive, source.answers, source.mapped, source.why) == (True, True, True, "")
    assert source.digest == source.model["digest"] == SMOLLM2_FILE.sha256
    assert all(one.text.strip() and one.tokens for one in source.generations)
    assert " the " in " ".join(one.text for one in source.generations)
    assert 2.0 < (source.loss or 0) < 3.2
    assert sum(one.tokens for one in source.passages) == 514
    assert (source.tokens_per_s or 0) > 0
    assert source.findings == ()
    assert source.scanned == source.logged
    assert gate(source, source, Limits.of(8)).verdict is Verdict.PASS


def zeroed(name: str, data: Any) -> None:
    if "attn_q" in name:
        data[:] = 0


def noise(name: str, data: Any) -> None:
    if "ffn_" in name and data.dtype == np.uint8:
        data[:, 4:] = np.random.default_rng(0).integers(0, 256, data[:, 4:].shape, dtype=np.uint8)


def shuffled(name: str, data: Any) -> None:
    if "ffn_down" in name:
        data[:] = data[np.random.default_rng(0).permutation(len(data))]


def louder(name: str, data: Any) -> None:
    """Ten times the scale of one layer's matrix: the first two bytes of each block of Q4_1 are its scale."""
    if name == "blk.15.ffn_down.weight":
        blocks = data.reshape(len(data), -1, 20)
        for at in (0, 2):  # the scale, and the minimum
            scale = blocks[:, :, at : at + 2].copy().view(np.float16)
            blocks[:, :, at : at + 2] = (scale * np.float16(10)).view(np.uint8)


def flipped(name: str, data: Any) -> None:
    """One bit: the highest of the exponent of one block's scale."""
    if name == "blk.15.ffn_down.weight":
        data.reshape(-1)[20 * 100 + 1] ^= 1 << 6


@pytest.mark.local
@pytest.mark.slow
@pytest.mark.parametrize("change", [zeroed, noise, shuffled, louder, flipped])
def test_corrupted_weights_fail_by_what_they_say(
    path: Path,
    tmp_path: Path,
    sources: tuple[Observation, Observation],
    change: Change,
    monkeypatch: pytest.MonkeyPatch,
):
    _, source = sources
    broken = corrupted(path, tmp_path / "broken.gguf", change)
    shortened(monkeypatch)
    with find("llamacpp").deploy(broken, SETTINGS, tmp_path / "log") as deployment:
        result, seen = check(deployment, source)
    assert (result.verdict, result.failure_class) == (Verdict.FAIL, FailureClass.DEPLOYMENT_HEALTH_FAILED)
    failed = {one.name for one in result.checks if one.ok is False}
    assert failed & {"perplexity", "perplexity_ratio"}  # the first where there is no number at all
    assert seen.digest == seen.model["digest"] != source.digest
    assert result.reasons
    assert gate(seen.to_json(), source.to_json(), Limits()).to_json() == result.to_json()
    alone = gate(seen)  # as a source of its own, with nobody to be held against
    assert alone.verdict is Verdict.FAIL


@pytest.mark.local
def test_a_server_that_dies_while_it_is_asked_is_a_result(path: Path, tmp_path: Path):
    import os
    import signal

    with find("llamacpp").deploy(path, SETTINGS, tmp_path / "log") as deployment:
        os.killpg(deployment.process.group, signal.SIGKILL)  # type: ignore[union-attr]
        result, seen = check(deployment)
    assert (seen.alive, seen.answers) == (False, False)
    assert result.failure_class is FailureClass.DEPLOYMENT_HEALTH_FAILED
    assert {"process", "endpoint"} <= {one.name for one in result.checks if one.ok is False}


@pytest.mark.local
def test_a_file_that_changes_under_its_server_is_another_one(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shortened(monkeypatch)
    copy = tmp_path / "model.gguf"
    copy.write_bytes(path.read_bytes())
    with find("llamacpp").deploy(copy, SETTINGS, tmp_path / "log") as deployment:
        (tmp_path / "other").write_bytes(path.read_bytes()[:-1] + b"\x01")
        (tmp_path / "other").replace(copy)
        seen = observe(deployment)
    assert seen.mapped is False
    assert seen.digest not in (None, seen.model["digest"])
    assert {"mapped", "digest"} <= {one.name for one in gate(seen).checks if one.ok is False}


# Servers with faults that the real one does not show on demand


def remote(stub: Stub, **more: Any) -> Deployment:
    known = {"api": "openai", "choices": True, "slots": 4} | more
    model = Deployed("tiny", "d" * 64, "remote", "external", **known)
    return Deployment(model, Now(stub.url.removesuffix("/v1"), "stub"), None)


@pytest.mark.parametrize("kind", ["error", "no_choices", "broken_json"])
def test_answers_that_fail_are_findings_not_errors(kind: Any):
    with Stub(faults=[Fault(kind, 1.0)]) as stub:
        seen = observe(remote(stub))
    assert all(one.error for one in (*seen.generations, *seen.passages))
    result = gate(seen)
    assert {"answered", "perplexity"} <= {one.name for one in result.checks if one.ok is False}


def test_empty_answers_are_seen():
    with Stub(faults=[Fault("empty", 1.0)]) as stub:
        seen = observe(remote(stub, choices=False))
    assert [one.text for one in seen.generations] == [""] * len(health_text.PROMPTS)
    assert "empty" in {one.name for one in gate(seen).checks if one.ok is False}
    assert "no likelihood" in seen.unmeasured


def test_a_server_that_is_gone_is_a_result():
    model = Deployed("tiny", "d" * 64, "remote", "external", "openai")
    seen = observe(Deployment(model, Now(f"http://127.0.0.1:{free_port()}", "tiny"), None))
    assert (seen.alive, seen.answers, seen.digest, seen.mapped) == (None, False, None, None)
    assert "127.0.0.1" in seen.why


# The source's observation


def test_only_the_health_gates_result_has_one(tmp_path: Path):
    with Stub() as stub:
        seen = observe(remote(stub))
    result = gate(seen)
    assert source_of(result.to_json()).generations == seen.generations
    for wrong in ({"gate": "run"}, {"numbers": {}}, {"numbers": []}):
        with pytest.raises(EvidenceError):
            source_of(result.to_json() | wrong)


# Logs

LOGS = [
    ("llama_model_load: error loading model: check_tensor_dims: tensor 'blk.7.x' not found", "missing_tensor"),
    ("E llama_model_load: error loading model: done_getting_tensors: wrong number of tensors; expected 272, got 271",
     "wrong_tensors"),
    ("model.layers.5.mlp.down_proj.weight       | MISSING    |", "newly_initialized"),
    ("Some weights of LlamaForCausalLM were not initialized from the model checkpoint at x and are newly initialized",
     "newly_initialized"),
    ("model.layers.5.mlp.down_proj.weight_scale | UNEXPECTED |", "scales_unused"),
    ("model.layers.6.mlp.up_proj.weight         | MISMATCH   | Reinit due to size mismatch", "size_mismatch"),
    ("Unknown quantization type, got modelopt - supported types are: ['awq']. Hence, we will skip the quantization.",
     "quantization_unknown"),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "cuda_oom"),
    ("RuntimeError: CUDA error: an illegal memory access was encountered", "cuda_error"),
    ("ggml-backend.cpp:1: GGML_ASSERT(x) failed", "ggml_assert"),
    ("llm_load_vocab: missing pre-tokenizer type, using: 'default'", "pre_tokenizer"),
    ("Traceback (most recent call last):", "traceback"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name"), LOGS)
def test_known_lines_are_found_with_their_class(tmp_path: Path, line: str, name: str):
    log = tmp_path / "log"
    log.write_text(f"INFO: all is well\n\x1b[1m{line}\x1b[0m\nINFO: more\n{line}\n")
    (finding,), looked, size = health_log.scan(log)
    row = next(row for row in health_log.PATTERNS if row.name == name)
    assert (finding.pattern, finding.line, finding.count) == (name, 2, 2)
    assert (finding.failure_class, finding.severity) == (row.failure_class, row.severity)
    assert "\x1b" not in finding.excerpt
    assert looked == size == log.stat().st_size


def test_words_about_failures_are_no_failures(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text(
        "INFO: the author field has no judge\nINFO: out of memory is what I forgot\nslot released, 0 errors\n"
        "0.00.292.296 W srv          init: --cache-idle-slots requires --cache-ram, disabling\n"
    )
    assert health_log.scan(log)[0] == ()


def test_only_what_this_server_wrote_is_read(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("CUDA error: before\n")
    start = log.stat().st_size
    log.write_text(log.read_text() + "fine\n")
    assert health_log.scan(log, start) == ((), 5, 5)


def test_a_long_log_is_read_at_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health_log, "MOST_BYTES", 4096)
    log = tmp_path / "log"
    log.write_bytes(b"CUDA error: first\n" + b"x" * 100_000 + b"\n" + b"fine\n" * 20_000 + b"GGML_ASSERT(x) failed\n")
    found, looked, size = health_log.scan(log)
    assert {one.pattern for one in found} >= {"cuda_error"}
    assert looked < size


def test_hostile_lines_cost_little(tmp_path: Path):
    log = tmp_path / "log"
    log.write_bytes(b"Some weights of " * 300_000 + b"\n" + bytes(range(256)) * 100)
    assert health_log.scan(log)[0] == ()


def test_names_of_patterns_are_unique():
    names = [row.name for row in health_log.PATTERNS]
    assert len(names) == len(set(names))


def test_the_texts_are_what_the_digest_says():
    assert len(health_text.PROMPTS) == len(set(health_text.PROMPTS)) == 8
    assert all(rest.startswith(" ") and len(rest) > 200 for _, rest in health_text.PASSAGES)
    assert replace(Limits(), perplexity_ratio=1.5) != Limits()
    assert math.isfinite(Limits().perplexity)
    with pytest.raises(ConfigError):
        Limits(perplexity=math.inf)
