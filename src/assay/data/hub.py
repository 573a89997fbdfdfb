"""Files of Hugging Face data sets, at a fixed commit.

The download, its cache and its credentials are huggingface_hub's (`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`,
`HF_HUB_OFFLINE` mean here what they mean there). Every file is checked: against its pin; where no digest
could be pinned, against the SHA-256 that the hub itself states for large files, and the digest seen first is
recorded in `$ASSAY_HOME/locks/hub.json`, so that the same commit can never quietly mean other bytes later.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from assay.data.sources import Hub, Progress
from assay.errors import ConfigError, DataUnavailable, DigestMismatch
from assay.files import digest_file, pretty, read_json, write_atomic
from assay.home import home

SCHEMA = "assay.hub-lock.v1"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch(where: Hub, sha256: str | None, progress: Progress | None = None) -> Path:
    """The file, in huggingface_hub's cache, checked.

    Raises DataUnavailable where it cannot be had (no network, offline mode, no access), DigestMismatch where
    it is not what was pinned or recorded, ConfigError where `where` is not pinned to a commit.
    """
    if not _COMMIT.fullmatch(where.revision):
        raise ConfigError(f"{where}: {where.revision!r} is not a commit of 40 hex digits")
    if progress is not None:
        progress(f"fetching {where.file} of {where.repo} from the hub", 0)
    stated, failure = _stated(where)
    path = _download(where, failure)
    found = digest_file(path)
    for expected in (sha256, stated):
        if expected is not None:
            _compare(where, expected, found)
    if sha256 is None:
        _compare(where, _record(where, found), found)
    return path


def recorded(where: Hub) -> str | None:
    """The digest that was recorded when this file was first fetched here; None where it never was."""
    value = _read(_lock_file()).get(_name(where))
    return value if isinstance(value, str) else None


def _compare(where: Hub, expected: str, found: str) -> None:
    if found != expected:
        raise DigestMismatch(
            str(where), expected, found, hint="delete it from the cache of huggingface_hub and try again"
        )


def _stated(where: Hub) -> tuple[str | None, Exception | None]:
    """The SHA-256 that the hub gives for the file, None for small files; and why it cannot be asked, if so.

    One request, never repeated: without a network this fails at once, where a download would try for long.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    endpoint = os.environ.get("HF_ENDPOINT") or None
    url = hf_hub_url(where.repo, where.file, repo_type="dataset", revision=where.revision, endpoint=endpoint)
    try:
        etag = get_hf_file_metadata(url, endpoint=endpoint).etag
    except Exception as error:  # its HTTP client, and with it the error types, changes between versions
        return None, error
    return (etag if etag and _SHA256.fullmatch(etag) else None), None


def _download(where: Hub, failure: Exception | None) -> Path:
    """The file, from huggingface_hub's cache alone where the hub cannot be asked."""
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(
            repo_id=where.repo,
            filename=where.file,
            repo_type="dataset",
            revision=where.revision,
            endpoint=os.environ.get("HF_ENDPOINT") or None,
            local_files_only=failure is not None,
        )
    except Exception as error:  # as above
        raise DataUnavailable(f"{where}: {_last_words(failure or error)}", layer="hub") from None
    return Path(path)


def _last_words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:400]}"


def _lock_file() -> Path:
    return home() / "locks" / "hub.json"


def _name(where: Hub) -> str:
    return f"{where.repo}@{where.revision}:{where.file}"


def _read(path: Path) -> dict[str, object]:
    return read_json(path, SCHEMA) if path.exists() else {}


def _record(where: Hub, found: str) -> str:
    """The recorded digest; what was found becomes it where there is none yet."""
    path = _lock_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known = _read(path)
        value = known.setdefault(_name(where), found)
        if value == found:
            write_atomic(path, pretty({**known, "schema": SCHEMA}))
    return str(value)
