"""What looks like a secret in text, so that no key ends up in a plan or in evidence.

Patterns are the published prefixes of keys and tokens; they find what is recognisable, not every password.
They are written to spare ordinary text: a hyphenated word is no key.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

# One group a kind, so that one pass over a text finds all of them.
_KINDS = {
    "private_key": ("a private key", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"),
    "jwt": ("a JSON web token", r"\beyJ[\w-]{8,2000}\.eyJ[\w-]{8,8000}\.[\w-]{8,}"),
    "openai": ("an API key (sk-…)", r"\bsk-(?:[A-Za-z0-9]{16,}|(?=[\w-]{0,200}\d)[\w-]{20,})"),
    "huggingface": ("a Hugging Face token (hf_…)", r"\bhf_[A-Za-z0-9]{20,}"),
    "github": ("a GitHub token", r"\b(?:gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"),
    "gitlab": ("a GitLab token (glpat-…)", r"\bglpat-[\w-]{16,}"),
    "aws": ("an AWS access key (AKIA…)", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "google": ("a Google API key (AIza…)", r"\bAIza[\w-]{30,}"),
    "slack": ("a Slack token (xox…)", r"\bxox[abeoprs]-[\w-]{10,}"),
    "nvidia": ("an NVIDIA API key (nvapi-…)", r"\bnvapi-[\w-]{20,}"),
    "groq": ("a Groq API key (gsk_…)", r"\bgsk_[A-Za-z0-9]{20,}"),
    "npm": ("an npm token (npm_…)", r"\bnpm_[A-Za-z0-9]{36}\b"),
    "bearer": ("a bearer token", r"\b[Bb]earer +(?=[\w.~+/-]{0,200}\d)[\w.~+/-]{16,}=*"),
    "url": ("a URL with a password", r"\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/:@'\"<>]*:[^\s/@'\"<>]+@"),
}
_PATTERN = re.compile("|".join(f"(?P<{name}>{pattern})" for name, (_, pattern) in _KINDS.items()))
_KEY = re.compile(r"(?:^|[_.-])(?:api_?key|key|token|credentials?|authorization)$", re.I)
_PASSWORD = re.compile(r"(?:^|[_.-])(?:secret|password|passwd|pwd)$", re.I)
_RANDOM = re.compile(r"(?=\S*[0-9])(?=\S*[A-Za-z])\S{16,}")
_RANDOM_BITS = 3.0


def find(text: str) -> str | None:
    """What kind of secret `text` holds, for people ("a GitHub token"); None where none is recognised."""
    found = _PATTERN.search(text)
    return _KINDS[found.lastgroup][0] if found and found.lastgroup else None


def spans(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, kind) of every recognised secret in `text`, first to last."""
    for found in _PATTERN.finditer(text):
        yield found.start(), found.end(), _KINDS[found.lastgroup or "url"][0]


def mask(text: str) -> str:
    """`text` with every recognised secret replaced by its kind."""
    return _PATTERN.sub(lambda found: f"<{_KINDS[found.lastgroup or 'url'][0]}, not shown>", text)


def find_under(key: str, text: str) -> str | None:
    """As `find`, and knowing the key: any text under `password`, and what looks random under `api_key`.

    Random is 16 characters and more without a space, letters and digits mixed, of at least 3 bits of Shannon
    entropy a character (16 random hexadecimal digits have 3.3 on average; `version-1.1.1.1.1` has 2.7).
    """
    if kind := find(text):
        return kind
    if text and _PASSWORD.search(key):
        return "a password"
    random = _KEY.search(key) and _RANDOM.fullmatch(text) and bits(text) >= _RANDOM_BITS
    return "a secret value" if random else None


def bits(text: str) -> float:
    """Shannon entropy of the characters of `text`, in bits a character; 0 for the empty text."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
