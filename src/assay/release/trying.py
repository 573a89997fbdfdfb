"""One try of a stage: what it made, or what ended it, as a class of failure that the rules know."""

from __future__ import annotations

from dataclasses import dataclass

from assay.errors import AssayError, FailureClass, Incomparable, Interrupted, MachineError
from assay.gates.result import Verdict
from assay.release.stages.base import Product, Stage, class_of

RESUME = "what is finished is kept; ask again to go on"


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a stage's try."""

    kind: FailureClass
    message: str
    error: AssayError | None = None
    product: Product | None = None
    verdict: Verdict | None = None


def tried(stage: Stage) -> Product | Failure:
    """What a stage's work came to. Raises Interrupted, and errors that are of no class."""
    try:
        product = stage.work()
    except Interrupted:
        raise
    except Incomparable as error:
        never = error.exit_code == Verdict.INFEASIBLE.exit_code
        verdict = Verdict.INFEASIBLE if never else Verdict.ANOMALOUS
        return Failure(error.failure_class or FailureClass.UNKNOWN, error.message, error, verdict=verdict)
    except AssayError as error:
        if error.failure_class is None:
            raise
        return Failure(error.failure_class, error.message, error)
    except OSError as error:
        wrapped = broken(stage.key, error)
        return Failure(FailureClass.SYSTEMIC, wrapped.message, wrapped)
    gate = product.gate
    if gate is None or not gate.failed or stage.name == "compare":
        return product
    message = gate.reasons[0] if gate.reasons else f"gate {gate.gate}: {gate.verdict}"
    return Failure(class_of(gate), message, None, product, Verdict(gate.verdict))


def stopped(stage: Stage, failure: Failure, known_as: FailureClass | None) -> MachineError:
    """The error that ends the process: the release goes on when it is asked for again. `known_as`: the class that a
    failure of this class has when it comes back."""
    if isinstance(failure.error, MachineError):
        failure.error.hint = "\n  ".join(part for part in (failure.error.hint, RESUME) if part)
        return failure.error
    kind = f"{failure.kind.value}, and again: {known_as.value}" if known_as else failure.kind.value
    return MachineError(f"{stage.key}: {failure.message} ({kind})", layer="release", hint=RESUME)


def broken(what: str, error: OSError) -> MachineError:
    """An error of the system, such as a full disk, as one of the machine's."""
    return MachineError(f"{what}: {error.strerror or error}", layer="release", errno=error.errno)
