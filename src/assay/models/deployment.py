"""What a deployment says of itself in a file: the model, which plans are made of, and where it is served now."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from assay.errors import BackendUnreachable, EvidenceError
from assay.files import pretty, read_json, write_atomic

SCHEMA = "assay.deployment.v1"
Api = Literal["llamacpp", "openai"]


@dataclass(frozen=True, slots=True)
class Deployed:
    """A checkpoint on a kind of server, with all that shapes its answers, and what a client has to know.

    `digest`: SHA-256 of the checkpoint. `api`: `llamacpp` for llama.cpp's own pages, `openai` for the common ones.
    `context`: tokens of prompt and answer together. `shaping`: further settings of the deployer that shape answers.
    `runtime`: the server's version. `slots`: requests served at once; not part of the identity. `chat`, `completion`,
    `choices`, `structured`: what it can do. `vocabulary`, `special`: of its tokeniser, where likelihoods are had by
    forcing tokens.
    """

    name: str
    digest: str
    format: str
    deployer: str
    api: Api
    context: int | None = None
    slots: int = 1
    chat: bool = True
    completion: bool = True
    choices: bool = False
    structured: bool = False
    shaping: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    runtime: str = ""
    parameters: int | None = None
    vocabulary: int = 0
    special: tuple[int, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What pins the model, for plans and the cache: never a port, a process or a path."""
        identity: dict[str, Any] = {"backend": "deployed", "model": self.name, "digest": self.digest}
        identity |= {"deployer": self.deployer, "format": self.format, **self.shaping}
        known = {"context": self.context, "runtime": self.runtime or None}
        return identity | {key: part for key, part in known.items() if part is not None}

    @property
    def served_as(self) -> str:
        """The name that a server is told to go by: it carries the digest, so that no other model is taken for it."""
        return f"{re.sub(r'[^A-Za-z0-9._-]', '-', self.name)}@{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class Now:
    """Where a model is served at this moment.

    `url`: the server's address, without `/v1`. `served`: what it calls the model. `key_file` holds its key, `key_env`
    names the environment variable that does; neither is the key itself. `group`: its process group, None for a server
    that was not started here. `listed`: whether the server lists the model; else a token is asked of it.
    """

    url: str
    served: str
    key_file: str | None = None
    key_env: str | None = None
    group: int | None = None
    listed: bool = True

    def key(self) -> str | None:
        """The server's key. Raises BackendUnreachable where it should be there and is not."""
        if self.key_env:
            found = os.environ.get(self.key_env, "").strip()
            if not found:
                hint = f"export {self.key_env}=…"
                raise BackendUnreachable(f"{self.key_env} holds no key", layer="deployment", hint=hint)
            return found
        if self.key_file is None:
            return None
        try:
            return Path(self.key_file).read_text().strip()
        except OSError as error:
            hint = "the server has ended; deploy the model again"
            raise BackendUnreachable("its key is gone", layer="deployment", errno=error.errno, hint=hint) from None


def write(file: Path, model: Deployed, now: Now | None) -> None:
    """Put both into a file, whole or not at all."""
    content = {"schema": SCHEMA, "model": asdict(model), "now": asdict(now) if now else None}
    write_atomic(file, pretty(content))


def read(file: Path) -> tuple[Deployed, Now | None]:
    """What a file says. Raises EvidenceError that names the file and the key that is wrong."""
    content = read_json(file, SCHEMA)
    now = content.get("now")
    try:
        _known(content, {"schema", "model", "now"}, "")
        model = _made(Deployed, content["model"], _MODEL, "model.")
        return model, _made(Now, now, _NOW, "now.") if now is not None else None
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"{file}: {error.args[0] if error.args else error}") from None


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 4096


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _shaping(value: Any) -> bool:
    kinds = (bool, int, float, str)
    return isinstance(value, dict) and all(isinstance(part, kinds) and _finite(part) for part in value.values())


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_MODEL: Mapping[str, Callable[[Any], bool]] = {
    "name": _text,
    "digest": lambda value: isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None,
    "format": _text,
    "deployer": _text,
    "api": lambda value: value in ("llamacpp", "openai"),
    "context": _or_none(_count),
    "slots": lambda value: _count(value) and value > 0,
    "chat": lambda value: isinstance(value, bool),
    "completion": lambda value: isinstance(value, bool),
    "choices": lambda value: isinstance(value, bool),
    "structured": lambda value: isinstance(value, bool),
    "shaping": _shaping,
    "runtime": lambda value: isinstance(value, str),
    "parameters": _or_none(_count),
    "vocabulary": _count,
    "special": lambda value: isinstance(value, list) and all(map(_count, value)),
}
_NOW: Mapping[str, Callable[[Any], bool]] = {
    "url": lambda value: isinstance(value, str) and value.startswith(("http://", "https://")),
    "served": _text,
    "key_file": _or_none(_text),
    "key_env": _or_none(_text),
    "group": _or_none(_count),
    "listed": lambda value: isinstance(value, bool),
}


def _known(value: Mapping[str, Any], names: set[str], where: str) -> None:
    if unknown := sorted(set(value) - names):
        raise ValueError(f"{where}{unknown[0]} is not a key of it")


def _made(kind: Any, value: Any, checks: Mapping[str, Callable[[Any], bool]], where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where.rstrip('.')} is not an object")
    _known(value, {entry.name for entry in fields(kind)}, where)
    for key, check in checks.items():
        if key not in value or not check(value[key]):
            raise ValueError(f"{where}{key} is missing or cannot be {value.get(key)!r}")
    return kind(**{key: tuple(part) if isinstance(part, list) else part for key, part in value.items()})
