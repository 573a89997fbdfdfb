"""Deployers: real processes, the real llama.cpp server; a server never outlives whoever started it."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from assay.errors import ConfigError, DeploymentFailed, FailureClass, MachineError, MissingExtra, ModelUnavailable
from assay.models import deployment as record
from assay.models.named import SMOLLM2_FILE
from assay.release.deployers import lock, vllm
from assay.release.deployers.base import Settings, find, names, settings
from assay.release.deployers.process import Process, free_port, tail
from assay.release.deployers.server import get
from support.checkpoints import source
from support.stub import Stub

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
FAMILY = """
import os, subprocess, sys, time
print("pid", os.getpid(), flush=True)
code = "import os, time; os.setsid(); print('pid', os.getpid(), flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code])
time.sleep(600)
"""
"""A server with a child that left for a session of its own."""


@pytest.fixture(scope="module")
def path(downloads: Path) -> Path:
    """The model's file, fetched into the shared downloads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_HOME", str(downloads.parent))
        return SMOLLM2_FILE.fetch()


def eventually(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids(log: Path, count: int) -> list[int]:
    def found() -> list[int]:
        lines = log.read_text().splitlines() if log.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith("pid ")]

    assert eventually(lambda: len(found()) >= count), log.read_text()
    return found()


def quick(**more: Any) -> Settings:
    return Settings(**({"slots": 2, "context": 512, "threads": 1, "deadline_s": 120} | more))


# The process


def test_a_server_and_all_it_started_end_with_stop(tmp_path: Path):
    process = Process(tmp_path / "log")
    process.start([sys.executable, "-c", FAMILY], {})
    family = pids(tmp_path / "log", 2)
    assert process.alive()
    assert all(map(running, family))
    assert process.folder.stat().st_mode & 0o777 == 0o700
    process.stop()
    process.stop()
    assert not process.alive()
    assert not any(map(running, family))
    assert not process.folder.exists()


@pytest.mark.parametrize("victim", ["us", "the watchdog", "the server"])
def test_kill_9_leaves_nothing_behind(tmp_path: Path, victim: str):
    """Whoever of the three is killed, the others go too; of the first, there is nobody left to clean up."""
    program = (
        "import sys, time; from pathlib import Path; from assay.release.deployers.process import Process\n"
        "process = Process(Path(sys.argv[1])); process.start([sys.executable, '-c', sys.argv[2]], {})\n"
        "print(process.group, flush=True); code = process.code\n"
        "while code() is None: time.sleep(0.02)\n"
        "process.stop(); print('ended', flush=True); time.sleep(600)\n"
    )
    log = tmp_path / "log"
    with subprocess.Popen([sys.executable, "-c", program, str(log), FAMILY], stdout=subprocess.PIPE, text=True) as us:
        try:
            assert us.stdout is not None
            watchdog = int(us.stdout.readline())
            family = pids(log, 2)
            os.kill({"us": us.pid, "the watchdog": watchdog, "the server": family[0]}[victim], signal.SIGKILL)
            gone = [watchdog, *(family[:1] if victim == "the watchdog" else family)]
            assert eventually(lambda: not any(map(running, gone))), [pid for pid in gone if running(pid)]
            if victim == "us":
                assert eventually(lambda: not any((Path(os.environ["ASSAY_HOME"]) / "deployments").iterdir()))
        finally:
            us.kill()
            for pid in family:
                if running(pid):
                    os.kill(pid, signal.SIGKILL)  # the one in a session of its own, where its keeper was killed


def test_an_early_death_is_noticed_with_what_was_said(tmp_path: Path):
    process = Process(tmp_path / "log")
    code = "import sys; print('weights are \\x1b[31mmissing'); sys.exit(3)"
    process.start([sys.executable, "-c", code], {})
    with pytest.raises(DeploymentFailed, match=r"exit code 3(.|\n)*weights are .*missing") as caught:
        process.wait_until(lambda: False, 60, "the server")
    assert "\x1b" not in str(caught.value)
    assert caught.value.failure_class is FailureClass.DEPLOYMENT_HEALTH_FAILED
    assert caught.value.exit_code == 6
    process.stop()


def test_a_server_that_never_answers_is_ended_at_the_deadline(tmp_path: Path):
    process = Process(tmp_path / "log")
    process.start(SLEEP, {})
    with pytest.raises(DeploymentFailed, match=r"did not answer within 0\.2 s"):
        process.wait_until(lambda: False, 0.2, "the server")
    assert not process.alive()


def test_a_program_that_is_not_there(tmp_path: Path):
    process = Process(tmp_path / "log")
    process.start(["no-such-program-at-all"], {})
    with pytest.raises(DeploymentFailed, match=r"no-such-program-at-all: No such file"):
        process.wait_until(lambda: False, 60, "the server")


def test_logs_are_kept_and_only_the_new_part_is_this_servers(tmp_path: Path):
    log = tmp_path / "log"
    for word in ("first", "second"):
        process = Process(log)
        process.start([sys.executable, "-c", f"print('{word}')"], {})
        with pytest.raises(DeploymentFailed):
            process.wait_until(lambda: False, 60, word)
    new = log.read_bytes()[process.log_start :]
    assert b"\nsecond\n" in new
    assert b"\nfirst\n" not in new
    assert tail(log, 1) == ["second"]
    assert tail(tmp_path / "none") == []


# One at a time


def test_a_second_deployment_is_refused_by_name_and_pid():
    with (
        lock.alone("llamacpp model-Q8_0"),
        pytest.raises(MachineError, match=rf"llamacpp model-Q8_0, of process {os.getpid()}"),
    ):
        lock.acquire("llamacpp other")
    os.close(lock.acquire("llamacpp other"))


def test_a_second_deployment_may_wait(tmp_path: Path):
    program = (
        "import time; from assay.release.deployers import lock\n"
        "lock.acquire('x'); print(1, flush=True); time.sleep(0.5)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(MachineError, match=f"process {other.pid}"):
            lock.acquire("mine")
        os.close(lock.acquire("mine", wait_s=60))


def test_the_lock_is_held_as_long_as_the_server_lives(tmp_path: Path):
    held = lock.acquire("x")
    process = Process(tmp_path / "log")
    process.start(SLEEP, {}, (held,))
    os.close(held)
    with pytest.raises(MachineError):
        lock.acquire("y")
    process.stop()
    os.close(lock.acquire("y"))


# Settings and names


def test_the_built_in_deployers_are_found_by_name():
    assert {"llamacpp", "transformers", "vllm", "external"} <= set(names())
    assert all(find(name).name == name for name in names())
    with pytest.raises(ConfigError, match="llamacpp"):
        find("llamacp")


@pytest.mark.parametrize(
    ("deployer", "values", "said"),
    [
        ("llamacpp", {"slots": 0}, "serving.slots"),
        ("llamacpp", {"port": 70_000}, "65535"),
        ("llamacpp", {"url": "http://x"}, "means nothing to the deployer llamacpp"),
        ("external", {"gpu_layers": 3}, "means nothing"),
        ("vllm", {"threads": 3}, "means nothing"),
        ("external", {}, "url and served"),
        ("external", {"url": "http://user:pw@x", "served": "m"}, "password"),
    ],
)
def test_settings_that_cannot_be(deployer: str, values: dict[str, Any], said: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=said):
        find(deployer).deploy(tmp_path / "m.gguf", Settings(**values), tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_settings_as_people_write_them():
    written = settings({"slots": 2, "extra": "--dtype 'bfloat16'", "wait_s": 3, "alone": False})
    assert written == Settings(slots=2, extra=("--dtype", "bfloat16"), wait_s=3, alone=False)
    with pytest.raises(ConfigError) as caught:
        settings({"slot": 2, "context": "long", "threads": True})
    said = str(caught.value)
    assert "did you mean 'slots'" in said
    assert "'context' cannot be 'long'" in said
    assert "'threads' cannot be True" in said


# llama.cpp


@pytest.mark.local
def test_llamacpp_serves_behind_a_key_and_leaves_nothing(path: Path, tmp_path: Path, home: Path):
    file = tmp_path / "deployment.json"
    with find("llamacpp").deploy(path, quick(name="smol"), tmp_path / "log") as deployment:
        assert deployment.alive()
        assert deployment.seconds > 0
        deployment.save(file)
        model, now = record.read(file)
        assert now is not None
        assert urlsplit(now.url).hostname == "127.0.0.1"
        assert now.served == f"smol@{SMOLLM2_FILE.sha256[:12]}"
        assert (model.digest, model.context, model.slots, model.chat) == (SMOLLM2_FILE.sha256, 512, 2, True)
        assert refused(now.url, None) == refused(now.url, "wrong") == 401
        assert refused(now.url, now.key()) == 200
        key = now.key() or ""
        assert len(key) == 32
        assert key not in file.read_text() + (tmp_path / "log").read_text()
        with pytest.raises(MachineError, match="another deployment is up: llamacpp smol"):
            find("llamacpp").deploy(path, quick(), tmp_path / "second")
        members = [pid for pid in deployment.process.members() if running(pid)]  # type: ignore[union-attr]
        assert len(members) >= 2
    assert not any(map(running, members))
    assert get(now.url, "/v1/models") is None
    assert record.read(file) == (model, None)
    assert not list((home / "deployments").iterdir())
    deployment.close()


def refused(url: str, key: str | None) -> int:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    connection.request("POST", "/completion", b'{"prompt": "a", "n_predict": 1}', headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.local
def test_a_file_that_llama_cpp_cannot_load_is_a_failed_deployment(path: Path, tmp_path: Path):
    """A header that is in order by itself, but does not hold what the architecture needs."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    shutil.copy(path, folder / "model.gguf")
    data = bytearray((folder / "model.gguf").read_bytes())
    at = data.index(b"blk.7.ffn_down.weight")
    data[at : at + 21] = b"blk.7.ffn_gone.weight"
    (folder / "model.gguf").write_bytes(data)
    with pytest.raises(DeploymentFailed, match=r"tensor 'blk\.7\.ffn_down\.weight' not found"):
        find("llamacpp").deploy(folder, quick(), tmp_path / "log")
    os.close(lock.acquire("free again"))


def test_what_is_no_checkpoint_of_its_kind_is_refused_before_anything_starts(tmp_path: Path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    for deployer, place in (
        ("llamacpp", tmp_path),
        ("llamacpp", tmp_path / "none.gguf"),
        ("llamacpp", tmp_path / "a.gguf"),
    ):
        with pytest.raises((ModelUnavailable, MissingExtra)):
            find(deployer).deploy(place, Settings(), tmp_path / "log")
    assert not (tmp_path / "log").exists()


@pytest.mark.local
def test_kill_9_of_a_release_takes_its_server_along(path: Path, tmp_path: Path):
    program = (
        "import sys, time; from pathlib import Path; from assay.release.deployers.base import Settings, find\n"
        "settings = Settings(slots=1, context=256, threads=1)\n"
        "made = find('llamacpp').deploy(Path(sys.argv[1]), settings, Path(sys.argv[2]))\n"
        "print(*made.process.members(), made.now.url, flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(path), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as release:
        try:
            assert release.stdout is not None
            *members, url = release.stdout.readline().split()
            assert all(running(int(pid)) for pid in members)
            assert get(url, "/health") == {"status": "ok"}
        finally:
            release.kill()
        assert len(members) == 2
        assert eventually(lambda: not any(running(int(pid)) for pid in members))
        assert get(url, "/health") is None
    with find("llamacpp").deploy(path, quick(wait_s=60), tmp_path / "log") as again:
        assert again.alive()


# Other servers


def test_external_starts_and_stops_nothing(tmp_path: Path):
    with Stub() as stub:
        url = stub.url.removesuffix("/v1")
        served = next(iter(entry["id"] for entry in get(url, "/v1/models")["data"]))
        given = Settings(url=f"{url}/v1", served=served)
        with find("external").deploy(tmp_path, given, tmp_path / "log") as deployment:
            assert deployment.alive() is None
            assert deployment.log is None
            assert deployment.now.url == url
            assert deployment.model.identity["endpoint"] == url
        assert get(url, "/v1/models") is not None
        with pytest.raises(DeploymentFailed, match="asked for was 'another'"):
            find("external").deploy(tmp_path, Settings(url=url, served="another"), tmp_path / "log")
    with pytest.raises(DeploymentFailed, match="does not answer"):
        find("external").deploy(tmp_path, Settings(url=f"http://127.0.0.1:{free_port()}", served="m"), tmp_path / "log")


def test_vllm_is_refused_where_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="no program vllm on PATH"):
        find("vllm").deploy(tmp_path, Settings(), tmp_path / "log")
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(MachineError, match="needs a GPU"):
        find("vllm").deploy(tmp_path, Settings(), tmp_path / "log")


def test_the_command_line_of_vllm(tmp_path: Path):
    model = record.Deployed("Qwen 7B", "c" * 64, "safetensors", "vllm", "openai", context=4096)
    given = Settings(context=4096, slots=16, extra=("--dtype", "bfloat16"))
    command = vllm.arguments("/bin/vllm", tmp_path, given, model, 8123)
    assert command[:3] == ["/bin/vllm", "serve", str(tmp_path.resolve())]
    pairs = dict(zip(command[3::2], command[4::2], strict=True))
    assert pairs == {
        "--host": "127.0.0.1",
        "--port": "8123",
        "--served-model-name": "Qwen-7B@cccccccccccc",
        "--max-model-len": "4096",
        "--max-num-seqs": "16",
        "--generation-config": "vllm",
        "--seed": "0",
        "--dtype": "bfloat16",
    }


def test_transformers_says_what_its_environment_lacks(tmp_path: Path):
    bare = Settings(python=sys.executable)
    try:
        import fastapi  # noqa: F401
        import openai  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        with pytest.raises(MachineError, match=r"lacks .*(\n|.)*pip install 'transformers\[serving\]'"):
            find("transformers").deploy(tmp_path, bare, tmp_path / "log")
    with pytest.raises(MachineError, match="No such file"):
        find("transformers").deploy(tmp_path, Settings(python=str(tmp_path / "python")), tmp_path / "log")


def test_transformers_is_asked_one_thing_at_a_time_unless_it_batches(tmp_path: Path):
    folder = source(tmp_path / "folder")
    for extra, slots in (((), 1), (("--continuous-batching",), 4)):
        described = find("transformers").describe(folder, Settings(python=sys.executable, slots=4, extra=extra))
        assert described.slots == slots


@pytest.mark.hf
def test_transformers_serves_a_folder_and_nothing_else(tmp_path: Path):
    """A tiny Llama of random weights: it comes up, answers under its path, and its babble is seen."""
    for package in ("torch", "transformers", "fastapi", "openai", "uvicorn", "tokenizers"):
        pytest.importorskip(package, reason="needs the extra `hf` and transformers[serving]")
    folder = tiny(tmp_path / "tiny")
    file = tmp_path / "deployment.json"
    from assay.release.deployers.transformers import DEPLOYER
    from assay.release.health import check

    with DEPLOYER.deploy(folder, quick(slots=1, context=256), tmp_path / "log") as deployment:
        deployment.save(file)
        assert deployment.facts["runtime"].startswith("transformers ")
        assert str(tmp_path) not in str(deployment.model.identity)
        result, seen = check(deployment)
    assert all(one.error is None for one in seen.generations), seen
    assert (seen.answers, seen.passages) == (True, ())
    assert "no likelihood" in seen.unmeasured
    assert result.failure_class is FailureClass.DEPLOYMENT_HEALTH_FAILED
    assert "known_words" in {one.name for one in result.checks if one.ok is False}
    assert "startup complete" in (tmp_path / "log").read_text()


def tiny(folder: Path) -> Path:
    import tokenizers
    import torch
    import transformers

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<end>", *alphabet])}
    words = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = tokenizers.decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<end>")
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), max_position_embeddings=512, bos_token_id=None, eos_token_id=0, **shape
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder
