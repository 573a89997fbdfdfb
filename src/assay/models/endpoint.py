"""Where a server is, as people write it: `NAME@URL`, `base_url`, a variable; and that it answers."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from assay.errors import BackendError, BackendUnreachable, ConfigError, NotFound, Problem
from assay.models.backend import what
from assay.models.transport import Transport, errno_of

if TYPE_CHECKING:
    from assay.spec.schema import ModelSpec

ANSWER_WITHIN_S = 30.0
"""How long a server may take to say that it is there."""

_AT = re.compile(r"^(?P<name>[^\s]+?)@(?P<url>https?://.*)$")


def name_and_url(spec: ModelSpec, default: str) -> tuple[str, str]:
    """The model's name and the base URL of its server, without a final slash.

    Raises ConfigError where the URL is written twice and differently, is none, or carries a password.
    """
    match = _AT.match(what(spec))
    name, written = (match["name"], match["url"]) if match else (what(spec), None)
    if written and spec.base_url and written.rstrip("/") != spec.base_url.rstrip("/"):
        message = f"{spec.model!r} and base_url {spec.base_url!r} name different servers"
        raise ConfigError(Problem(message, allowed="one of them"))
    return name, checked(written or spec.base_url or default)


def checked(url: str) -> str:
    """`url` without a final slash. Raises ConfigError for one that cannot be used, or must not be kept."""
    allowed = "http:// or https://, a host, a port, a path; keys come from the environment (api_key_env)"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(Problem(f"{url!r} is not the address of a server", allowed=allowed))
    if parts.username or parts.password or parts.query or parts.fragment:
        message = f"the address of {parts.hostname!r} carries a password, a query or a fragment"
        raise ConfigError(Problem(message, allowed=allowed))
    return url.rstrip("/")


def key_of(variable: str, *, required: bool, layer: str) -> str | None:
    """The API key in an environment variable. Raises BackendUnreachable where it has to be there and is not."""
    key = os.environ.get(variable, "").strip()
    if required and not key:
        hint = f"export {variable}=…, or name another variable in api_key_env"
        raise BackendUnreachable(f"the environment variable {variable} holds no API key", layer=layer, hint=hint)
    if not key.isprintable():
        raise BackendUnreachable(f"{variable} holds characters that no key can have", layer=layer)
    return key or None


async def greet(transport: Transport, path: str, *, url: str, layer: str) -> Mapping[str, Any] | None:
    """What a server says of itself at `path`: a JSON object, or None where it knows no such page.

    Raises BackendUnreachable that names the URL and the errno.
    """
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            answer = await transport.get(path)
    except NotFound:
        return None
    except TimeoutError:
        message = f"{url} did not answer within {ANSWER_WITHIN_S:g} s"
        raise BackendUnreachable(message, layer=layer) from None
    except BackendError as error:
        hint = "is the server running, and is this its address?"
        raise BackendUnreachable(error.message, layer=layer, errno=errno_of(error), hint=hint) from error
    return answer if isinstance(answer, dict) else None
