"""Real releases of SmolLM2, as small as they can be: a real quantizer, a real server, real answers, and kill -9."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from assay.errors import EvidenceError
from assay.files import digest_file, pretty, read_json
from assay.gates.health import Limits
from assay.release.conductor import Conductor
from assay.release.folder import ReleaseFolder
from assay.release.quantizers import registry
from assay.release.quantizers.base import Made, Quantizer
from assay.release.resolve import resolved
from assay.release.spec import parse
from assay.release.stages.base import Silent
from assay.release.track import track
from assay.release.verify import verify
from support.brief import shortened
from support.releasing import events, finished

pytestmark = [pytest.mark.slow, pytest.mark.local, pytest.mark.data, pytest.mark.timeout(1500)]

TESTS = Path(__file__).parent
SPEC: dict[str, Any] = {
    "schema": "assay.release.v1",
    "name": "tiny",
    "source": {"model": "smollm2-135m", "convert": "F16"},
    "candidates": ["Q8_0"],
    "tasks": [{"task": "arc_easy", "limit": 12, "scoring_mode": "multiple_choice"}],
    # Twelve questions say next to nothing: the margin is wide, so that the chain may end in any verdict it can.
    "policy": {"schema": "assay.policy.v1", "defaults": {"margin": 0.6, "max_gain": 0.9}},
    # So does a look at two short answers of how common their words are.
    "serving": {"health": {"known_ratio": 0.2}},
    "cache": "off",
}


def _killed_when(command: list[str], happened: Callable[[], bool]) -> None:
    process = subprocess.Popen(command, cwd=TESTS, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 600
        while not happened():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _groups(path: Path) -> list[int]:
    """The process groups of the servers that were deployed."""
    found = [read_json(file)["now"] for file in path.rglob("deployed.json")]
    return [int(now["group"]) for now in found if now]


def _gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    shortened(monkeypatch)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A release that was killed in the middle of its stages and between them, and then finished."""
    named = os.environ.get("ASSAY_HOME")
    home = tmp_path_factory.mktemp("home")
    if named:
        (home / "wheels").symlink_to(Path(named).resolve() / "wheels")
    place = tmp_path_factory.mktemp("release")
    spec, path = place / "tiny.yaml", place / "out"
    spec.write_text(yaml.safe_dump(SPEC))
    command = [sys.executable, "-m", "support.brief", "release", "run", str(spec), "--out", str(path), "--json"]
    kept = os.environ.get("ASSAY_HOME")
    os.environ["ASSAY_HOME"] = str(home)
    try:
        for moment in _moments(path):
            _killed_when(command, moment)
            groups = _groups(path)
            until = time.monotonic() + 60
            while not all(map(_gone, groups)):
                assert time.monotonic() < until, "a server outlived the process that deployed it"
                time.sleep(0.1)
        done = subprocess.run(command, cwd=TESTS, capture_output=True, check=False)
        assert orjson.loads(done.stdout)["exit_code"] == done.returncode, done.stderr.decode()
        yield path
    finally:
        if kept is None:
            del os.environ["ASSAY_HOME"]
        else:
            os.environ["ASSAY_HOME"] = kept


def _moments(path: Path) -> list[Callable[[], bool]]:
    def seen(event: str, stage: str) -> Callable[[], bool]:
        return lambda: (path / "events.jsonl").exists() and (event, stage) in events(path)

    def answered(count: int) -> Callable[[], bool]:
        segments = path / "candidates" / "Q8_0" / "run" / "attempts"
        return lambda: sum(file.read_bytes().count(b"\n") for file in segments.glob("*.jsonl")) >= count

    served = path / "candidates" / "Q8_0" / "deploy" / "deployed.json"
    quantizing = path / "candidates" / "Q8_0" / "checkpoint" / ".Q8_0.gguf.part" / "Q8_0.gguf"
    return [
        lambda: quantizing.exists() and quantizing.stat().st_size > 1 << 20,
        seen("stage_finished", "quantize-Q8_0"),
        seen("stage_finished", "evaluate-baseline"),
        served.exists,
        answered(2),
        seen("stage_finished", "evaluate-Q8_0"),
    ]


def test_killed_in_the_middle_of_its_stages_it_does_none_twice(killed: Path) -> None:
    counted = Counter(finished(killed))
    assert set(counted.values()) == {1}
    assert {"quantize-Q8_0", "deploy-Q8_0", "evaluate-Q8_0", "compare-Q8_0", "decide"} <= set(counted)
    assert not [event for event, _ in events(killed) if event == "stage_void"]
    starts = Counter(stage for event, stage in events(killed) if event == "stage_started")
    assert starts["quantize-Q8_0"] == starts["evaluate-Q8_0"] == 2


def test_its_verdict_follows_from_real_numbers(killed: Path) -> None:
    decision = read_json(killed / "decision.json")
    (point,) = decision["candidates"]
    assert (decision["verdict"], point["verdict"]) == ("ACCEPT", "ACCEPT")
    assert point["tasks"][0]["pairs"] == 12
    assert 0.4 < point["ratio"] < 0.6
    health = read_json(killed / "candidates" / "Q8_0" / "gates" / "health.json")
    assert health["policy"]["perplexity_ratio"] == Limits.of(8.5).perplexity_ratio < Limits().perplexity_ratio
    assert point["tokens_per_s"] > 0
    plans = [read_json(killed / part / "run" / "plan.json") for part in ("baseline", "candidates/Q8_0")]
    assert plans[0]["tasks"] == plans[1]["tasks"]
    assert not any(str(killed) in orjson.dumps(plan).decode() for plan in plans)


def test_it_verifies_and_every_change_is_found(killed: Path) -> None:
    assert verify(killed) == []
    for name in ("decision.json", "candidates/Q8_0/gates/ptq.json", "baseline/run/results.json"):
        path = killed / name
        kept = path.read_bytes()
        path.write_bytes(kept.replace(b"PASS", b"pass").replace(b"ACCEPT", b"REGRET").replace(b"1", b"2", 1))
        assert [finding.path for finding in verify(killed)] == [name]
        path.write_bytes(kept)


def test_a_decision_that_was_sealed_anew_by_somebody_does_not_follow(killed: Path) -> None:
    """Whoever can write can also hash: what counts is that the decision follows from the evidence."""
    from assay.evidence.manifest import identity

    names = (
        "decision.json",
        "manifest.json",
        *[path.relative_to(killed).as_posix() for path in (killed / "stages").glob("*-decide.json")],
    )
    kept = {name: (killed / name).read_bytes() for name in names}
    decision = {**read_json(killed / "decision.json"), "reasons": ["because I say so"]}
    (killed / "decision.json").write_bytes(pretty(decision))
    record = read_json(killed / names[2])
    for output in record["outputs"]:
        output["digest"] = digest_file(killed / output["path"])
    content = {key: part for key, part in record.items() if key != "id"}
    from assay.files import digest_of

    (killed / names[2]).write_bytes(pretty({**content, "id": digest_of(content)[:16]}))
    manifest = read_json(killed / "manifest.json")
    for file in manifest["files"]:
        file |= {"sha256": digest_file(killed / file["path"]), "bytes": (killed / file["path"]).stat().st_size}
    manifest["id"] = identity(manifest)
    (killed / "manifest.json").write_bytes(pretty(manifest))
    try:
        assert [finding.path for finding in verify(killed)] == ["decision.json"]
    finally:
        for name, data in kept.items():
            (killed / name).write_bytes(data)


@pytest.mark.parametrize("name", ["card.md", "report.html"])
def test_pages_that_were_sealed_anew_by_somebody_do_not_follow(killed: Path, name: str) -> None:
    from assay.evidence.manifest import identity

    kept = {path: (killed / path).read_bytes() for path in (name, "manifest.json")}
    (killed / name).write_bytes(kept[name].replace(b"Q8_0", b"Q2_K"))
    manifest = read_json(killed / "manifest.json")
    for file in manifest["files"]:
        if file["path"] == name:
            file |= {"sha256": digest_file(killed / name), "bytes": (killed / name).stat().st_size}
    try:
        (killed / "manifest.json").write_bytes(pretty({**manifest, "id": identity(manifest)}))
        assert [finding.path for finding in verify(killed)] == [name]
        notes: list[str] = []
        other = {**manifest, "tool": {"name": "assay", "version": "0.0.0"}}
        (killed / "manifest.json").write_bytes(pretty({**other, "id": identity(other)}))
        assert verify(killed, note=notes.append) == []
        assert any(note.startswith(f"{name}: written by assay 0.0.0") for note in notes)
    finally:
        for path, data in kept.items():
            (killed / path).write_bytes(data)


def test_a_verdict_given_on_its_runs_since_leaves_a_release_what_it_was(killed: Path, tmp_path: Path) -> None:
    from assay.cli.main import run as command

    (tmp_path / "policy.yaml").write_text(yaml.safe_dump({"schema": "assay.policy.v1", "defaults": {"margin": 0.5}}))
    runs = [str(killed / part / "run") for part in ("baseline", "candidates/Q8_0")]
    command(["gate", "compare", *runs, "--policy", str(tmp_path / "policy.yaml")])
    assert verify(killed) == []
    added = killed / "baseline" / "run" / "more.txt"
    added.write_text("more")
    assert [finding.path for finding in verify(killed)] == ["baseline/run/more.txt"]
    added.unlink()


def test_a_finished_release_that_was_changed_is_not_taken_for_one(killed: Path) -> None:
    path = killed / "candidates" / "Q8_0" / "gates" / "ptq.json"
    kept = path.read_bytes()
    path.write_bytes(kept + b"\n")
    try:
        with pytest.raises(EvidenceError, match=r"ptq\.json"):
            Conductor(resolved(parse(SPEC)), ReleaseFolder(killed), Silent()).run()
    finally:
        path.write_bytes(kept)


def _from(release: Path) -> dict[str, Any]:
    """The same again, on the source and the baseline of a release that is there."""
    (source,) = (release / "source").glob("*.gguf")
    return {**SPEC, "source": str(source), "baseline": [str(release)]}


def test_a_sealed_run_of_the_very_same_baseline_is_taken_and_a_candidate_decided_while_it_runs(
    killed: Path, tmp_path: Path
) -> None:
    spec = {**_from(killed), "candidates": ["Q4_0"], "until_decided": True}
    decision = Conductor(resolved(parse(spec)), ReleaseFolder(tmp_path / "out"), Silent()).run()
    assert decision["baseline"]["reused"]
    assert decision["baseline"]["manifest"] == read_json(killed / "baseline" / "run" / "manifest.json")["id"]
    (point,) = decision["candidates"]
    assert point["tasks"][0]["pairs"] == 12
    assert any("/sequential-" in name for name in point["evidence"])
    assert verify(tmp_path / "out") == []


def test_a_tracking_server_that_is_not_there_is_told_and_fails_nothing(killed: Path, tmp_path: Path) -> None:
    shutil.copytree(killed / "baseline" / "run", tmp_path / "out" / "baseline" / "run")
    spec = {**SPEC, "tracking": {"uri": "http://127.0.0.1:9"}}
    track(ReleaseFolder(tmp_path / "out"), resolved(parse(spec)), Silent())
    told = read_json(tmp_path / "out" / "tracking.json")
    assert [run["run"] for run in told["runs"]] == ["baseline/run"]
    assert "127.0.0.1:9" in told["runs"][0]["why"]


class _Corrupting(Quantizer):
    """The real quantizer, after which the weights are scrambled as a bad disk or a wrong kernel might."""

    name = "gguf"
    summary = "a fault that the real one does not have"

    def __init__(self, real: Quantizer) -> None:
        self._real = real
        self.options = real.options  # type: ignore[misc]

    def misfits(self, source: Any, recipe: Any) -> list[str]:
        return self._real.misfits(source, recipe)

    def needs(self, source: Any, recipe: Any) -> int:
        return self._real.needs(source, recipe)

    def make(self, job: Any) -> Any:
        return self._real.make(job)

    def quantize(self, source: Path, recipe: Any, out: Path, *more: Any, **named: Any) -> Made:
        import numpy as np

        made = self._real.quantize(source, recipe, out, *more, **named)
        if recipe.name != "Q8_0":
            return made
        from assay.release.checkpoint import inspect

        data = np.memmap(out, dtype=np.uint8, mode="r+")
        for tensor in inspect(out).tensors:
            if tensor.dtype == "Q8_0" and tensor.bytes:
                blocks = data[tensor.offset : tensor.offset + tensor.bytes].reshape(-1, 34)
                blocks[:, 2:] = blocks[:, :1:-1].copy()  # scales as they were, numbers of each block in reverse
        data.flush()
        return made


def test_corrupted_weights_and_a_recipe_for_experts_are_refused_each_in_its_way(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = registry.find
    monkeypatch.setattr(registry, "find", lambda name: _Corrupting(real(name)) if name == "gguf" else real(name))
    spec = {**_from(killed), "candidates": ["Q8_0-experts-only", "Q8_0"]}
    decision = Conductor(resolved(parse(spec)), ReleaseFolder(tmp_path / "out"), Silent()).run()
    experts, corrupted = decision["candidates"]
    assert (experts["verdict"], experts["failure_class"]) == ("INFEASIBLE", "MODEL_UNSUPPORTED")
    assert (corrupted["verdict"], corrupted["failure_class"]) == ("INFEASIBLE", "DEPLOYMENT_HEALTH_FAILED")
    assert (decision["verdict"], decision["publish"]) == ("INFEASIBLE", False)
    assert verify(tmp_path / "out") == []
