"""Ed25519 keys for signing evidence: made, and read from a file or an environment variable, as PEM.

Needs the extra `sign` (cryptography), which is loaded here and nowhere else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError, MachineError, MissingExtra, Problem
from assay.files import digest_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_LARGEST = 64 << 10
_ALLOWED = "a file or env:NAME that holds one Ed25519 key as PEM; `assay keys new FILE` makes a pair"


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key. `id` is what securesystemslib and the TUF specification call its keyid."""

    id: str
    _key: Ed25519PublicKey

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature over `data` was made with this key's private half."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, with the public half that goes with it."""

    public: VerifyKey
    _key: Ed25519PrivateKey

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`, 64 bytes; the same for the same data."""
        return self._key.sign(data)


def make(path: Path) -> VerifyKey:
    """Make a pair: the private key at `path`, which its owner alone may read, and the public one at `path`.pub.

    Raises ConfigError where either file is there already, MachineError where they cannot be written.
    """
    _, serialization = _cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    encoding = serialization.Encoding.PEM
    public_pem = private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    plain = serialization.NoEncryption()
    private_pem = private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    public_path = path.with_name(f"{path.name}.pub")
    for place in (path, public_path):
        if place.exists() or place.is_symlink():
            raise ConfigError(Problem("is there already; a key is never overwritten", where=str(place)))
    _create(path, private_pem, 0o600)
    _create(public_path, public_pem, 0o644)
    return _verify_key(private.public_key())


def _create(path: Path, data: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="keys", errno=error.errno) from error


def signing_key(named: str) -> SigningKey:
    """The private key in a file, or with `env:NAME` in an environment variable. Raises ConfigError."""
    ed25519, serialization = _cryptography()
    text = _text(named)
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except TypeError:
        raise ConfigError(Problem("the key is encrypted", where=named, allowed="an unencrypted PKCS#8 key")) from None
    except Exception:  # cryptography has several errors for what is no key, and their texts may quote it
        raise ConfigError(Problem("holds no private key", where=named, allowed=_ALLOWED)) from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError(Problem("holds a key of another kind", where=named, allowed=_ALLOWED))
    return SigningKey(_verify_key(key.public_key()), key)


def verify_key(named: str) -> VerifyKey:
    """The public key in a file, or with `env:NAME` in an environment variable. Raises ConfigError."""
    ed25519, serialization = _cryptography()
    text = _text(named)
    if b"PRIVATE KEY" in text:
        raise ConfigError(Problem("holds a private key", where=named, allowed="the public one, FILE.pub"))
    try:
        key = serialization.load_pem_public_key(text)
    except Exception:  # as above
        raise ConfigError(Problem("holds no public key", where=named, allowed=_ALLOWED)) from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ConfigError(Problem("holds a key of another kind", where=named, allowed=_ALLOWED))
    return _verify_key(key)


def _text(named: str) -> bytes:
    if named.startswith("env:"):
        name = named.removeprefix("env:")
        if not (value := os.environ.get(name)):
            raise ConfigError(Problem(f"the environment variable {name} is not set", where="--key", allowed=_ALLOWED))
        return value.encode(errors="replace")
    try:
        with Path(named).open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise ConfigError(Problem(str(error.strerror).lower(), where=named, allowed=_ALLOWED)) from None


def _verify_key(key: Ed25519PublicKey) -> VerifyKey:
    public = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": key.public_bytes_raw().hex()}}
    return VerifyKey(digest_of(public), key)


def _cryptography() -> tuple[Any, Any]:
    """The modules `ed25519` and `serialization`. Raises MissingExtra."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise MissingExtra("cryptography", "sign") from None
    return ed25519, serialization
