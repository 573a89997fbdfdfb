"""Every attack, by what it is on."""

from __future__ import annotations

from support.attack import Attack
from support.attacks_endings import REST
from support.attacks_forgeries import FORGERIES, FORKING
from support.attacks_system import SYSTEM

__all__ = ["ATTACKS", "FORKING"]

ATTACKS: list[Attack] = [*SYSTEM, *REST, *FORGERIES]
