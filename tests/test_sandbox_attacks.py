"""Every attack, in both tiers, as root and as nobody: nothing passes, nothing is touched, nothing is left, and the
worker serves the next sample."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from assay.sandbox.kernel import LayerError
from assay.sandbox.probes import check_tier
from support.attack import Attack
from support.attacks import ATTACKS
from support.gauntlet import lines
from support.identities import EVERYONE, public_folder, started
from support.watching import Look

SECRET = "canary" + "0123456789abcdef" * 2
CONTROL = "finds that its memory can be searched"
"""Passes, so that the searches that find nothing can be believed."""

BY_NAME = {attack.name: attack for attack in ATTACKS}
WORLDS = [("full", "strict"), ("reduced", "strict"), ("full", "fork-allowed")]


@functools.cache
def _missing(tier: str) -> str:
    try:
        check_tier(tier)  # type: ignore[arg-type]
    except LayerError as error:
        return f"the tier `{tier}` cannot be had here: {error}"
    return ""


class Results:
    """What became of every attack in one world."""

    def __init__(self, uid: int, tier: str, profile: str) -> None:
        self.looks: dict[str, Look] = {}
        self.lines: list[dict[str, Any]] = []
        self.temporary = public_folder() / f"temporary-{uid}-{tier}-{profile}"
        self.temporary.mkdir()
        self.temporary.chmod(0o777)
        with started(
            uid, "from support.gauntlet import main\nmain()\n", TMPDIR=str(self.temporary), SECRET=SECRET
        ) as process:
            self._ask(process, tier=tier, profile=profile, folder=str(self.temporary))
            self._read(process)
        self.left = sorted(path.name for path in self.temporary.iterdir())

    @staticmethod
    def _ask(process: subprocess.Popen[str], **asked: str) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            found = json.loads(line)
            self.lines.append(found)
            if "checkpoint" in found:
                self.looks[found["checkpoint"]] = Look.settled(process.pid)
                self._ask(process)

    def of(self, attack: Attack) -> Iterator[dict[str, Any]]:
        found = [line for line in self.lines if line.get("name") == attack.name]
        assert len(found) == attack.times
        return iter(found)


@functools.cache
def results(uid: int, tier: str, profile: str) -> Results:
    if reason := _missing(tier):
        pytest.skip(reason)
    return Results(uid, tier, profile)


def _cases() -> Iterator[Any]:
    for tier, profile in WORLDS:
        for attack in ATTACKS:
            if tier in attack.tiers and profile in attack.profiles:
                yield pytest.param(tier, profile, attack.name, id=f"{tier}-{profile}-{attack.name}")


@pytest.mark.slow
@EVERYONE
@pytest.mark.parametrize(("tier", "profile", "name"), list(_cases()))
def test_attack(uid: int, tier: str, profile: str, name: str):
    attack = BY_NAME[name]
    for found in results(uid, tier, profile).of(attack):
        execution = found["execution"]
        assert execution["status"] in attack.statuses
        assert name == CONTROL or execution["status"] != "passed"
        assert {key: execution.get(key) for key in attack.expected} == attack.expected
        assert not execution["forgeable"]
        said = [line["found"] for line in lines(execution.get("stdout", "")) if "found" in line]
        assert bool(said) or not attack.refused
        assert {act: code for acts in said for act, code in acts.items() if code not in attack.refused} == {}
        assert found["leaked"] == []
        assert found["harmed"] == []
        assert found["processes"] == 0
        assert found["after"]["status"] == "passed", found["after"]
        assert found["after"]["stdout"], found["after"]


@pytest.mark.slow
@EVERYONE
@pytest.mark.parametrize(("tier", "profile"), WORLDS)
def test_nothing_is_left(uid: int, tier: str, profile: str):
    found = results(uid, tier, profile)
    begin, end = found.looks["begin"], found.looks["end"]
    assert len(end.processes) == len(begin.processes)
    assert end.descriptors == begin.descriptors
    assert end.mounts == begin.mounts
    assert end.own_mounts == begin.own_mounts
    assert found.lines[-1] == {"name": "closed", "processes": 0, "harmed": []}
    assert found.left == []


@pytest.mark.slow
@EVERYONE
@pytest.mark.parametrize(("tier", "profile"), WORLDS)
def test_the_environment_says_what_held(uid: int, tier: str, profile: str):
    environments = [line["environment"] for line in results(uid, tier, profile).lines if "environment" in line]
    for environment in environments:
        assert environment["tier"] == tier
        assert environment["profile"] == profile
        assert environment["uid"] != 0 or "kept_root" in environment
        assert environment["landlock_abi"] >= 1
    assert len(environments) == 2


def test_attacks_have_names_of_their_own():
    assert len(BY_NAME) == len(ATTACKS)
