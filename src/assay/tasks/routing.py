"""`routing`: does an agent reach for the skill `release` when it should, and for nothing when it should not?

What is tested is the skill as it ships: its description is read from its own file, so that a changed description is
another data set. The requests and what each calls for are in routing.jsonl.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from assay.data.sources import BuiltIn, Row, Skip, Source
from assay.document import read_text
from assay.files import digest_of
from assay.records import Sample
from assay.tasks.base import Task

SKILL = Path(__file__).parents[1] / "skills" / "release" / "SKILL.md"
SHA256 = "d22af3bcba94b644d8f25f800daa95d21d122ba2ddca23e61fab83a1cc57c238"
"""Of routing.jsonl, which comes with assay."""

_CHOICES = ("release", "none")


@cache
def skills() -> str:
    """The skills as an agent is told of them: a line each, name and description."""
    front = yaml.safe_load(read_text(SKILL).split("---")[1])
    return f"- {front['name']}: {' '.join(front['description'].split())}"


def parse(row: Row, index: int) -> Sample | Skip:
    """{id, request, skill}; `skill` is `release` or `none`."""
    if row["skill"] not in _CHOICES:
        return Skip(f"the skill is none of {', '.join(_CHOICES)}")
    return Sample(
        id=f"routing/{row['id']}",
        input=row["request"],
        target=row["skill"],
        choices=_CHOICES,
        gold=(_CHOICES.index(row["skill"]),),
        fields={"skills": skills()},
        metadata={"category": "should" if row["skill"] != "none" else "should not"},
    )


TASK = Task(
    name="routing",
    version="1",
    kind="generate",
    summary="does a request call for the skill `release`, or for none? 35 requests, 15 of which do",
    sources=(
        Source(
            BuiltIn("tasks/routing.jsonl"),
            "jsonl",
            parse,
            SHA256,
            origin="written for assay",
            licence="Apache-2.0",
            revision=f"1-{digest_of(skills())[:16]}",
            shown=("skills",),
        ),
    ),
    prompt="routing",
    scorers=("exact_match", "normalized_exact_match", "multiple_choice"),
    max_tokens=8,
    stop=("\n",),
)
