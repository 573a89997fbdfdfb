"""`structured`: whether an answer keeps to a form, measured and not judged.

- `format_ok` (the primary metric): the whole answer is JSON that the schema accepts.
- `usable`: it is so after repairs (`assay.scoring.repair`).
- `repairs`: how many; not there where no repair helps, since a count of them would be made up.
- `overlong`: one of its texts is longer than the limit. Of an answer that cannot be read, its lines are the texts.
- `distinct`: the share of its texts that say something else than those before, by their words; where it has texts.

The schema and the limit are the sample's own (`answer_format`, as scenario files write it), or options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

from assay.errors import ScorerError
from assay.files import canonical
from assay.records import Completion, Sample, Score, Value
from assay.scoring import validation
from assay.scoring.answers import cut, unanswered
from assay.scoring.base import Metric, Scorer
from assay.scoring.options import Options, shown
from assay.scoring.repair import Read, read

LONGEST_ANSWER = 200_000
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Structured:
    """Measures the form of an answer. `schema` and `longest` are for samples that bring none."""

    revision: str
    schema: Mapping[str, Any] | None
    longest: int | None
    name: ClassVar[str] = "structured"
    needs: ClassVar[Literal["text"]] = "text"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("format_ok", help="the whole answer is JSON that the schema accepts"),
        Metric("usable", help="the schema accepts it, after repairs if need be"),
        Metric("repairs", "measure", higher_is_better=False, low=0.0, help="repairs that reading it took"),
        Metric("overlong", higher_is_better=False, help="one of its texts is longer than the limit"),
        Metric("distinct", "measure", low=0.0, high=1.0, help="share of its texts that repeat no earlier one"),
    )

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Raises ScorerError where there is no schema, or where the answer or its validation goes beyond the limits."""
        schema, longest = self._form(sample)
        if why := unanswered(completion):
            return Score({"format_ok": False, "usable": False, "overlong": False}, None, why)
        if len(completion.text) > LONGEST_ANSWER:
            raise ScorerError(f"a completion of {len(completion.text):,} characters; at most {LONGEST_ANSWER:,}")
        found = read(completion.text)
        texts = list(_texts(found.value)) if found else completion.text.splitlines()
        metrics: dict[str, Value] = {"format_ok": False, "usable": False, "overlong": _overlong(texts, longest)}
        if found is None:
            return Score(metrics, None, f"no repair makes it JSON{cut(completion)}")
        wrong = validation.first_error(_validator(schema), found.value)
        metrics |= {"format_ok": wrong is None and not found.count, "usable": wrong is None}
        metrics["repairs"] = float(found.count)
        if texts:
            metrics["distinct"] = _distinct(texts)
        return Score(metrics, found.text, _why(found, wrong, texts, longest) + cut(completion))

    def _form(self, sample: Sample) -> tuple[bytes, int | None]:
        own = sample.fields.get("answer_format")
        form: Mapping[str, Any] = own if isinstance(own, Mapping) else {}
        schema = form.get("schema", self.schema)
        if not isinstance(schema, Mapping):
            raise ScorerError(f"the sample {sample.id!r} has no schema, and the scorer was given none")
        longest = form.get("longest", self.longest)
        return canonical(dict(schema)), longest if isinstance(longest, int) else None


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    """A schema's validator, made once. Raises ScorerError where it cannot be used."""
    import orjson

    try:
        return validation.prepared(orjson.loads(schema))
    except ValueError as error:
        raise ScorerError(f"the sample's schema cannot be used: {error}") from None


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, however deep, but for keys."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            stack.extend(reversed(part.values()))
        elif isinstance(part, list):
            stack.extend(reversed(part))


def _overlong(texts: list[str], longest: int | None) -> bool:
    return longest is not None and any(len(text.strip()) > longest for text in texts)


def _distinct(texts: list[str]) -> float:
    return len({" ".join(_WORD.findall(text.casefold())) for text in texts}) / len(texts)


def _why(found: Read, wrong: str | None, texts: list[str], longest: int | None) -> str:
    said = [wrong or "the schema accepts it"]
    said += [f"repaired: {', '.join(f'{name} {n}' for name, n in found.repairs.items())}"] if found.count else []
    if longest is not None and (long := [text for text in texts if len(text.strip()) > longest]):
        said.append(f"{len(long)} longer than {longest} characters: {shown(long[0].strip(), 40)}")
    return "; ".join(said)


def structured(options: Mapping[str, Any]) -> Scorer:
    """Options, for samples without their own: `schema`, a JSON Schema of draft 2020-12; `longest`, in characters."""
    given = Options("structured", options)
    schema = given.value("schema", None, lambda value: isinstance(value, Mapping), "a JSON Schema, as an object")
    longest = given.value(
        "longest",
        None,
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value > 0,
        "a whole number of characters, at least 1",
    )
    if schema is not None:
        try:
            validation.prepared(schema)
        except ValueError as error:
            given.fail("schema", f"this schema cannot be used: {error}")
    return Structured(given.done("1"), schema, longest)
