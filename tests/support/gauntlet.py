"""Runs attacks through pools and looks after each for what it left. Run by whoever the sandbox is to hold for, alone
in an interpreter: `main` reads a configuration and says what became of each attack, a line of JSON each.

At a checkpoint it waits for a line on stdin, so that a more privileged process can look at it meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.sandbox import kernel
from assay.sandbox.execution import Limits, Program, Settings
from assay.sandbox.pool import Pool
from support.attack import TESTS, Attack
from support.attacks import ATTACKS

QUICK = Limits(cpu_s=4.0, wall_s=30.0, memory_mb=512, file_mb=4, output_kb=4, processes=32)
SHORT = Limits(cpu_s=0.3, wall_s=1.0, memory_mb=512, file_mb=4, output_kb=4, processes=32)

_ALONE = "import os\nclean = not os.listdir() and os.stat('.').st_mode & 0o777 == 0o700\n"
_ANYWHERE = "clean = True\n"
_HONEST = "def f(x):\n    print(x)\n    return x + 1 if clean else None\n"
_SAID = "1\n20\n"
_SUBREAPER = 36


def honest(tier: str) -> Program:
    """A solution that passes where it finds an empty work folder (if it has one)."""
    return Program((_ALONE if tier == "full" else _ANYWHERE) + _HONEST, TESTS, "f")


def descendants(pid: int) -> list[int]:
    """All processes below a process, those that have ended and were not waited for among them."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = path.read_text().rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(path.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return sorted(found)


class Place:
    """What attacks are aimed at: files, sockets and a process that anyone but the sandboxed may use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"place-{os.getpid()}"
        self.victim = self.folder / "file"
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Place:
        self.folder.mkdir()
        (self.folder / "empty").mkdir()
        self.victim.write_text("canary")
        for path, mode in ((self.victim, 0o666), (self.folder / "empty", 0o777), (self.folder, 0o777)):
            path.chmod(mode)
        self._abstract = f"assay-{secrets.token_hex(8)}"
        self._listen()
        self._canary = subprocess.Popen([sys.executable, "-c", "import signal\nwhile True: signal.pause()"])
        self._before = self._state()
        return self

    def _listen(self) -> None:
        stream, datagram, local = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.AF_UNIX
        self._tcp = self._bound(socket.AF_INET, stream, ("127.0.0.1", 0))
        self._udp = self._bound(socket.AF_INET, datagram, ("127.0.0.1", 0))
        for kind, name in ((stream, ""), (datagram, "-datagram")):
            self._bound(local, kind, f"\0{self._abstract}{name}")
        self._bound(local, stream, str(self.folder / "socket"))
        self._bound(local, datagram, str(self.folder / "datagram"))
        for name in ("socket", "datagram"):
            (self.folder / name).chmod(0o777)

    def _bound(self, family: int, kind: int, address: Any) -> int:
        end = socket.socket(family, kind)
        end.setblocking(False)
        end.bind(address)
        if kind == socket.SOCK_STREAM:
            end.listen()
        self._sockets.append(end)
        return end.getsockname()[1] if family == socket.AF_INET else 0

    def _state(self) -> list[object]:
        files = [
            (path.name, path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_mtime_ns)
            for path in sorted((self.folder, *self.folder.iterdir()))
        ]
        return [files, self.victim.read_text(), os.listxattr(self.victim)]

    def harmed(self) -> list[str]:
        """What has been done to all this."""
        found = []
        if self._canary.poll() is not None:
            found.append("the canary is dead")
        if Path(f"/proc/{self._canary.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "SR":
            found.append("the canary is stopped")
        try:
            if self._state() != self._before:
                found.append(f"files were changed: {self._state()}")
        except OSError as error:
            found.append(f"files were changed: {error}")
        return found + [f"something arrived at {end}" for end in self._sockets if self._arrived(end)]

    @staticmethod
    def _arrived(end: socket.socket) -> bool:
        try:
            if end.type == socket.SOCK_STREAM:
                end.accept()[0].close()
            else:
                end.recv(1)
        except BlockingIOError:
            return False
        return True

    def filled(self, text: str, number: int, earlier: str, expected: str) -> str:
        """An attack's text with the names in it replaced."""
        names = {
            "VICTIM": self.victim,
            "FOLDER": self.folder,
            "TCP": self._tcp,
            "UDP": self._udp,
            "ABSTRACT": self._abstract,
            "ASSAY": os.getpid(),
            "CANARY": self._canary.pid,
            "NUMBER": number,
            "EARLIER": earlier,
            "EXPECTED": expected,
        }
        for name, value in names.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    def __exit__(self, *_: object) -> None:
        self._canary.send_signal(signal.SIGKILL)
        self._canary.wait()
        for end in self._sockets:
            end.close()
        for path in list(self.folder.iterdir()):
            path.rmdir() if path.is_dir() else path.unlink()
        self.folder.rmdir()


class Gauntlet:
    """Two pools of one worker each, for attacks that take their time and for others."""

    def __init__(self, tier: str, profile: str, place: Place) -> None:
        self.tier, self.profile, self.place = tier, profile, place
        self.pools = {
            hangs: Pool(Settings(tier=tier, profile=profile, limits=limits), workers=1)  # type: ignore[arg-type]
            for hangs, limits in ((False, QUICK), (True, SHORT))
        }

    async def run(self, attacks: list[Attack]) -> None:
        async with self.pools[False], self.pools[True]:
            for pool in self.pools.values():
                say(honest=(await pool.run(honest(self.tier))).to_json(), environment=dict(pool.environment))
            self.processes = len(descendants(os.getpid()))
            checkpoint("begin")
            for attack in attacks:
                for number in range(attack.times):
                    await self._attack(attack, number)
            checkpoint("end")
        say(name="closed", processes=len(descendants(os.getpid())) - 1, harmed=self.place.harmed())

    async def _attack(self, attack: Attack, number: int) -> None:
        pool = self.pools[attack.hangs]
        words = [f"canary{secrets.token_hex(16)}" for _ in range(2)]
        for solution, tests in attack.earlier:
            await pool.run(self._program(solution, tests, number, words))
        execution = await pool.run(self._program(attack.solution, attack.tests, number, words))
        after = await pool.run(honest(self.tier))
        say(
            name=attack.name,
            number=number,
            execution=execution.to_json(),
            leaked=[word for word in words if word in execution.stdout],
            after={"status": after.status, "stdout": after.stdout == _SAID, "all": after.to_json()},
            processes=len(descendants(os.getpid())) - self.processes,
            harmed=self.place.harmed(),
        )

    def _program(self, solution: str, tests: str, number: int, words: list[str]) -> Program:
        return Program(self.place.filled(solution, number, *words), self.place.filled(tests, number, *words), "f")


class Soak:
    """Thousands of hostile samples, every tenth an honest one, through one pool with one checker a worker."""

    WARM = 1000
    AT_ONCE = 8

    def __init__(self, tier: str, place: Place, samples: int) -> None:
        self.tier, self.place = tier, place
        cheap = [
            Program(place.filled(attack.solution, 0, "canary", "canary"), TESTS, "f")
            for attack in ATTACKS
            if tier in attack.tiers and not attack.heavy and not attack.hangs and attack.tests == TESTS
        ]
        mixed = (honest(tier) if number % 10 == 0 else cheap[number % len(cheap)] for number in range(samples))
        self.programs = enumerate(mixed)
        self.kinds = len(cheap)
        self.statuses: dict[str, dict[str, int]] = {"hostile": {}, "honest": {}}

    async def run(self) -> None:
        async with Pool(Settings(tier=self.tier, limits=QUICK), workers=2) as pool:  # type: ignore[arg-type]
            await self._some(pool, self.WARM)
            checkpoint("begin")
            await self._some(pool, None)
            checkpoint("end")
        say(name="closed", processes=len(descendants(os.getpid())) - 1, harmed=self.place.harmed())
        say(statuses=self.statuses, kinds=self.kinds)

    async def _some(self, pool: Pool, most: int | None) -> None:
        programs = itertools.islice(self.programs, most)

        async def one_by_one() -> None:
            for number, program in programs:
                status = (await pool.run(program)).status
                counts = self.statuses["hostile" if number % 10 else "honest"]
                counts[status] = counts.get(status, 0) + 1

        await asyncio.gather(*(one_by_one() for _ in range(self.AT_ONCE)))


def say(**found: Any) -> None:
    """One line for who reads."""
    print(json.dumps(found), flush=True)


def checkpoint(name: str) -> None:
    """Wait until it has been looked at."""
    say(checkpoint=name)
    sys.stdin.readline()


def main() -> None:
    """Run every attack that there is for a tier and a profile, or so many samples."""
    asked = json.loads(sys.stdin.readline())
    kernel.prctl(_SUBREAPER, 1)  # whatever escapes from its parent becomes ours, and is seen
    tier, profile = asked["tier"], asked["profile"]
    attacks = [attack for attack in ATTACKS if tier in attack.tiers and profile in attack.profiles]
    if asked.get("only"):
        attacks = [attack for attack in attacks if attack.name in asked["only"]]
    with Place(Path(asked["folder"])) as place:
        if samples := asked.get("samples"):
            asyncio.run(Soak(tier, place, samples).run())
        else:
            asyncio.run(Gauntlet(tier, profile, place).run(attacks))


def lines(text: str) -> Iterator[dict[str, Any]]:
    """What attacks said on stdout."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found
