"""`pass_at_1`: generated code passes its tests. Known by name, so that plans and messages can speak of it;
it cannot be made here, because running generated code needs the sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from assay.errors import MachineError
from assay.scoring.options import Options


def pass_at_1(options: Mapping[str, Any]) -> NoReturn:
    """Raises MachineError (exit 6): nothing is ever executed outside a sandbox."""
    Options("pass_at_1", options).done("1")
    raise MachineError(
        "scoring pass_at_1 executes generated code; that needs the sandbox, which this version does not have",
        layer="sandbox",
        hint="with `code_exec_policy: disabled` the completions are generated and stored, and not scored",
    )
