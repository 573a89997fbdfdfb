"""What has the form of a secret and is none: placeholders, examples, counting."""

from __future__ import annotations

import re

from assay.spec.secrets import bits

_LEAST_BITS = 3.0
"""Shannon entropy a character: 16 random hexadecimal digits have 3.3 on average, `xxxx…` next to none."""

_STANDS_FOR = re.compile(
    r"example|placeholder|your|dummy|fake|sample|redacted|changeme|change_me|secret|insert|replace"
    r"|x{4}|0123456|1234567|abcdefg|\.\.\.|\*{3}",
    re.I,
)
_COMMON = re.compile(
    r"(?:my|db|user|your)?_?(?:pass|passwd|password|passw0rd|pwd|token|key|user|username|name)"
    r"|admin|root|test|testing|guest|postgres|mysql|mongo|redis|rabbitmq|foo|bar|baz|qwerty|hunter2|p|[0-9]{1,5}",
    re.I,
)
_TEMPLATE = re.compile(r"[{}$%<>*()\[\]|\\`]")


def ordinary(value: str, *, password: bool = False) -> bool:
    """Whether a value that has the form of a secret is plainly a stand-in.

    A token has a digit, at least 3 bits of entropy a character, and does not say that it is an example; a `password`,
    which people choose, is only compared with stand-ins that are usual in documentation and with templates.
    """
    if password:
        return bool(_COMMON.fullmatch(value) or _TEMPLATE.search(value) or _STANDS_FOR.search(value))
    return not re.search(r"\d", value) or bits(value) < _LEAST_BITS or bool(_STANDS_FOR.search(value))
