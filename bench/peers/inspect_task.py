"""The benchmark's task as Inspect AI has it: the same prompts, and an exact match."""

from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.scorer import exact
from inspect_ai.solver import generate


@task
def bench(file: str) -> Task:
    """One chat turn a prompt, scored by exact match."""
    fields = FieldSpec(input="input", target="target", id="id")
    return Task(dataset=json_dataset(file, sample_fields=fields), solver=[generate()], scorer=exact())
