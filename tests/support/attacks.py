"""Every attack, by what it is on."""

from __future__ import annotations

from support.attack import Attack
from support.attacks_bombs import BOMBS
from support.attacks_disturbing import DISTURBING, FORKING
from support.attacks_endings import REST
from support.attacks_forgeries import REACHING
from support.attacks_system import SYSTEM
from support.attacks_values import VALUES

ATTACKS: list[Attack] = [*SYSTEM, *BOMBS, *REST, *VALUES, *REACHING, *DISTURBING, *FORKING]
