"""`json_schema`: the completion holds JSON (`parsed`) that a schema accepts (`valid`, the primary metric).

Schemas are JSON Schema draft 2020-12, given inline. `$ref` may only point into the schema itself; nothing is
ever fetched. `format` is an annotation, as the draft has it, and is not checked. Where the JSON stands in the
completion: `assay.scoring.found_json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from assay.errors import ScorerError
from assay.records import Completion, Sample, Score
from assay.scoring import validation
from assay.scoring.answers import cut, unanswered
from assay.scoring.base import Metric, Scorer
from assay.scoring.found_json import find
from assay.scoring.options import Options

LONGEST_TEXT = 200_000


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """Validates the JSON found in a completion."""

    revision: str
    validator: Any
    name: ClassVar[str] = "json_schema"
    needs: ClassVar[Literal["text"]] = "text"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("valid", help="the answer holds JSON that the schema accepts"),
        Metric("parsed", help="the answer holds JSON"),
    )

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Raises ScorerError where the text or its validation goes beyond the limits."""
        if why := unanswered(completion):
            return Score({"valid": False, "parsed": False}, None, why)
        if len(completion.text) > LONGEST_TEXT:
            raise ScorerError(f"a completion of {len(completion.text):,} characters; at most {LONGEST_TEXT:,}")
        found = find(completion.text)
        if found is None:
            return Score({"valid": False, "parsed": False}, None, f"the answer holds no JSON{cut(completion)}")
        text, value = found
        wrong = validation.first_error(self.validator, value)
        return Score({"valid": wrong is None, "parsed": True}, text, wrong or "the schema accepts it")


def json_schema(options: Mapping[str, Any]) -> Scorer:
    """Options: `schema`: a JSON Schema of draft 2020-12, an object."""
    given = Options("json_schema", options)
    given.require("schema")
    schema = given.value("schema", {}, lambda value: isinstance(value, Mapping), "a JSON Schema, as an object")
    try:
        validator = validation.prepared(schema)
    except ValueError as error:
        given.fail("schema", f"this schema cannot be used: {error}")
    return JsonSchema(given.done("1"), validator)
