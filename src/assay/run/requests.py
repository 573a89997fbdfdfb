"""What each attempt asks: rebuilt from the plan and the run's own samples, when running and when reading back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.plan.plan import Plan
from assay.prompts.prompt import Prompt
from assay.prompts.render import Renderer
from assay.records import Attempt, Request, Sample
from assay.run.folder import RunFolder, SampleFile


class Requests:
    """Makes the request of an attempt. Renderers are made once a cell, samples are read one at a time."""

    def __init__(self, plan: Plan, folder: RunFolder) -> None:
        self._plan = plan
        self._folder = folder
        self._renderers: dict[int, Renderer] = {}
        self._files: dict[str, SampleFile] = {}

    def request(self, attempt: Attempt) -> Request:
        """What is sent to the model. Raises EvidenceError where the run's samples are damaged."""
        return self.of(attempt, self.sample(attempt))

    def of(self, attempt: Attempt, sample: Sample) -> Request:
        """What is sent to the model for a sample at hand. Raises ValueError where completions were given."""
        cell = self._plan.cells[attempt.cell]
        if cell.sampling is None:
            raise ValueError(f"{attempt.id}: nobody was asked, its completion was given")
        renderer = self._renderer(attempt.cell)
        messages, text = renderer.request_parts(sample)
        return Request(
            sampling=cell.sampling,
            seed=attempt.seed,
            messages=messages,
            text=text,
            choices=renderer.continuations(sample) if cell.mode == "choices" else (),
            key=f"{cell.task}/{attempt.sample}/{attempt.epoch}",
        )

    def sample(self, attempt: Attempt) -> Sample:
        """The sample of an attempt, from the run directory."""
        task = self._plan.cells[attempt.cell].task
        if task not in self._files:
            self._files[task] = SampleFile(self._folder.sample_path(task))
        return self._files[task][attempt.position]

    def _renderer(self, number: int) -> Renderer:
        if number not in self._renderers:
            cell = self._plan.cells[number]
            if cell.mode == "given":
                raise ValueError(f"cell {number} asks nobody")
            self._renderers[number] = Renderer(
                Prompt.from_json(self._plan.prompts[cell.prompt]),
                self._folder.shown(cell.task),
                cell.mode,
                system=self._plan.models[cell.model].system,
            )
        return self._renderers[number]

    def show(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What a journal line's attempt asked and what was right, for a person to read."""
        attempt = self._plan.attempt(record["index"])
        sample = self.sample(attempt)
        shown: dict[str, Any] = {"input": sample.input, "target": sample.target}
        if self._plan.cells[attempt.cell].mode == "given":
            return shown  # how a model came by it is not known here
        request = self.of(attempt, sample)
        if request.messages:
            shown["messages"] = [{"role": turn.role, "content": turn.content} for turn in request.messages]
        else:
            shown["text"] = request.text
        if sample.choices:
            shown["choices"] = list(sample.choices)
            shown["gold"] = list(sample.gold)
        return shown

    def close(self) -> None:
        """Close the sample files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
