"""Showing how a run goes, on stderr: live bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from assay.errors import BackendError
from assay.plan.plan import Plan
from assay.records import Attempt, Outcome
from assay.run.state import State

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 5.0
MANY = 20_000
"""From this many attempts on, what follows them takes more than a second or two."""


class PlainWatch:
    """Plain lines: one when something begins or ends, and one every few seconds between."""

    def __init__(self, seconds: float = PLAIN_SECONDS) -> None:
        self._seconds = seconds
        self._outcomes: Counter[str] = Counter()
        self._retries = 0
        self._tokens = 0
        self._told = self._began = 0.0
        self._done = self._planned = self._before = 0

    def begin(self, plan: Plan, state: State) -> None:
        """Say how much there is to do."""
        self._planned, self._before, self._done = len(plan), state.finished, state.finished
        self._outcomes = Counter(state.outcomes())
        self._began = self._told = time.monotonic()
        if state.finished:
            self._say(f"resuming: {state.finished} of {len(plan)} attempts are finished")
        else:
            self._say(f"{len(plan)} attempts in {len(plan.cells)} cells")

    def loading(self, model: str) -> None:
        """Say which model comes next."""
        self._say(f"starting {model}")

    def finished(self, attempt: Attempt, outcome: Outcome, tokens_out: int | None) -> None:
        """Count, and say so now and then."""
        self._done += 1
        self._outcomes[outcome.value] += 1
        self._tokens += tokens_out or 0
        if time.monotonic() - self._told >= self._seconds:
            self._tell()

    def retried(self, attempt: Attempt, error: BackendError, wait_s: float) -> None:
        """Count."""
        self._retries += 1

    def end(self) -> None:
        """Say the last word."""
        self._tell()

    def stage(self, text: str) -> None:
        """Say what comes next, where there is enough of it to take a while."""
        if self._planned >= MANY:
            self._say(f"{text} …")

    def looked(self, text: str) -> None:
        """Say what a look came to."""
        self._say(text)

    def executed(self, task: str, done: int, total: int) -> None:
        """Say now and then how many programs have been executed."""
        now = time.monotonic()
        if done == 1:
            self._began = self._told = now
        if now - self._told >= self._seconds or (done == total and now - self._began >= self._seconds):
            self._told = now
            self._say(f"executing {task}: {done}/{total} · {done / max(now - self._began, 1e-9):.1f}/s")

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._say(self.line())

    def line(self) -> str:
        """The totals in one line."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (self._done - self._before) / seconds
        parts = [f"{self._done}/{self._planned}", f"{rate:.1f}/s"]
        if self._tokens:
            parts.append(f"{self._tokens / seconds:.0f} tokens/s")
        if rate and self._done < self._planned:
            parts.append(f"{duration((self._planned - self._done) / rate)} left")
        parts.append(counts(self._outcomes))
        if self._retries:
            parts.append(f"{self._retries} retries")
        return " · ".join(part for part in parts if part)

    def _say(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def counts(outcomes: Counter[str]) -> str:
    """Outcomes and how many of each, such as `ok 38, truncated 2`."""
    return ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items()) if count)


def duration(seconds: float) -> str:
    """Seconds in words a person reads at a glance, such as `3m 20s`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {whole % 60:02d}s" if minutes else f"{whole}s"


class LiveWatch:
    """A bar for each cell that has work: done/total, rate, time left, outcomes, tokens per second."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", style="dim"),
            console=Console(stderr=True),
            refresh_per_second=5,
        )
        self._bars: dict[int, TaskID] = {}
        self._outcomes: dict[int, Counter[str]] = {}
        self._tokens: Counter[int] = Counter()
        self._first: dict[int, float] = {}
        self._before: list[int] = []
        self._told: dict[int, float] = {}
        self._names: list[str] = []
        self._planned: list[int] = []
        self._retries = 0
        self._executing: dict[str, TaskID] = {}
        self._told_executed = 0.0

    def begin(self, plan: Plan, state: State) -> None:
        """Draw a bar for every cell that is not finished."""
        self._names = [f"{cell.model} · {cell.task} · {cell.prompt}" for cell in plan.cells]
        self._planned = [end - start for start, end in zip(plan.starts, plan.starts[1:], strict=False)]
        self._before = state.by_cell()
        self._progress.start()
        for number, name in enumerate(self._names):
            self._outcomes[number] = Counter()
            if self._before[number] < self._planned[number] and len(self._bars) < 30:
                self._bars[number] = self._progress.add_task(
                    name, total=self._planned[number], completed=self._before[number], note="", start=False
                )

    def loading(self, model: str) -> None:
        """Say which model comes next."""
        self._progress.console.print(f"starting {model}", style="dim")

    def finished(self, attempt: Attempt, outcome: Outcome, tokens_out: int | None) -> None:
        """Count; draw at most a few times a second."""
        number, now = attempt.cell, time.monotonic()
        self._outcomes[number][outcome.value] += 1
        self._tokens[number] += tokens_out or 0
        done = self._before[number] + self._outcomes[number].total()
        if number not in self._bars:
            return
        if number not in self._first:
            self._first[number] = now
            self._progress.start_task(self._bars[number])
        if now - self._told.get(number, 0.0) >= 0.1 or done == self._planned[number]:
            self._told[number] = now
            self._progress.update(self._bars[number], completed=done, note=self._note(number, now))

    def _note(self, number: int, now: float) -> str:
        seconds = max(now - self._first[number], 1e-9)
        total = self._outcomes[number].total()
        parts = [f"{total / seconds:.1f}/s" if total > 1 else ""]
        if self._tokens[number] and total > 1:
            parts.append(f"{self._tokens[number] / seconds:.0f} tok/s")
        parts.append(counts(self._outcomes[number]))
        if self._retries:
            parts.append(f"{self._retries} retries")
        return " · ".join(part for part in parts if part)

    def retried(self, attempt: Attempt, error: BackendError, wait_s: float) -> None:
        """Count."""
        self._retries += 1

    def end(self) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def stage(self, text: str) -> None:
        """Say what comes next, where there is enough of it to take a while."""
        if sum(self._planned) >= MANY:
            self._progress.console.print(f"{text} …", style="dim")

    def looked(self, text: str) -> None:
        """Say what a look came to, above the bars."""
        self._progress.console.print(text, style="dim")

    def executed(self, task: str, done: int, total: int) -> None:
        """Draw a bar of how many programs have been executed."""
        if task not in self._executing:
            self._progress.start()
            self._executing[task] = self._progress.add_task(f"executing {task}", total=total, note="")
        now = time.monotonic()
        if now - self._told_executed >= 0.1 or done == total:
            self._told_executed = now
            self._progress.update(self._executing[task], completed=done)
        if done == total:
            self._progress.stop()


def watch() -> LiveWatch | PlainWatch:
    """The display that fits stderr."""
    return LiveWatch() if sys.stderr.isatty() else PlainWatch()


class Download:
    """Says on stderr what is being fetched: once when it begins, then every few seconds how much there is."""

    def __init__(self, seconds: float = 2.0) -> None:
        self._seconds = seconds
        self._text = ""
        self._told = 0.0

    def __call__(self, text: str, size: int) -> None:
        """Hear of progress: what is being done and how many bytes there are so far."""
        now = time.monotonic()
        if text == self._text and now - self._told < self._seconds:
            return
        self._text, self._told = text, now
        amount = f" ({size / 1e6:.0f} MB)" if size else ""
        sys.stderr.write(f"{text}{amount}\n")
        sys.stderr.flush()


class Steps:
    """How far something of many steps is: a bar on a terminal, elsewhere a line every few seconds; nothing if quick."""

    def __init__(self, text: str, seconds: float = 2.0) -> None:
        self._text = text
        self._seconds = seconds
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Hear how many of how many steps are done."""
        now = time.monotonic()
        if now - self._began < self._seconds:
            return
        if sys.stderr.isatty():
            self._draw(done, total)
        elif now - self._told >= self._seconds:
            self._told = now
            sys.stderr.write(f"{self._text}: {done}/{total}\n")
            sys.stderr.flush()

    def _draw(self, done: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        if self._bar is None or self._task is None:
            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._text, total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done)
