"""A spec from the command line, alone or over a file: what an option says goes before what the file says.

An option that tasks may also set for themselves (`--limit`) holds for every task. `-m`, `-t` and `-p` replace
the file's list; a name that the file has keeps the file's settings, so that `-t boolq` picks one task of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict, Unpack

from assay.document import Path
from assay.errors import ConfigError, Problem
from assay.spec.check import check
from assay.spec.locations import Locations
from assay.spec.schema import Spec


class Options(TypedDict, total=False):
    """What the command line may say besides names; None and absent both mean that it does not."""

    name: str | None
    limit: int | None
    few_shot: int | None
    seed: int | None
    epochs: int | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: Sequence[str] | None
    scoring_mode: str | None
    code_exec_policy: str | None
    concurrency: int | None
    timeout: float | None
    tries: int | None
    budget_tokens: int | None
    budget_requests: int | None
    budget_seconds: float | None
    budget_money: float | None
    cache: str | None
    max_model_b: float | None
    n_tips: int | None
    diversity: bool | None
    option: Sequence[str] | None


class _Place(NamedTuple):
    """Where an option's value goes: a path in the spec, a key of every task, or both.

    With both, the tasks' own values are dropped, so that the spec's holds for all.
    """

    path: tuple[str, ...] | None = None
    task: str | None = None


_PLACES = {
    "name": _Place(("name",)),
    "limit": _Place(("limit",), "limit"),
    "few_shot": _Place(("few_shot",), "few_shot"),
    "seed": _Place(("seed",), "seed"),
    "epochs": _Place(("epochs",), "epochs"),
    "temperature": _Place(("sampling", "temperature")),
    "top_p": _Place(("sampling", "top_p")),
    "max_tokens": _Place(("sampling", "max_tokens"), "max_tokens"),
    "stop": _Place(("sampling", "stop"), "stop"),
    "scoring_mode": _Place(task="scoring_mode"),
    "code_exec_policy": _Place(task="code_exec_policy"),
    "concurrency": _Place(("concurrency", "limit")),
    "timeout": _Place(("concurrency", "timeout_s")),
    "tries": _Place(("retry", "tries")),
    "budget_tokens": _Place(("budget", "tokens")),
    "budget_requests": _Place(("budget", "requests")),
    "budget_seconds": _Place(("budget", "seconds")),
    "budget_money": _Place(("budget", "money")),
    "cache": _Place(("cache",)),
    "max_model_b": _Place(("max_model_b",)),
}


_SCENARIO_OPTIONS = ("n_tips", "diversity")
"""Options for the parameters of scenarios: of `tips` and `scenario:` files, whatever else the spec has."""


def pairs(texts: Sequence[str], flag: str = "--option") -> dict[str, bool | int | float | str]:
    """`KEY=VALUE` texts as a mapping: true, false and numbers are what they look like, all else is text.

    Raises ConfigError with every text that is none, or a key that is there twice.
    """
    found: dict[str, bool | int | float | str] = {}
    problems = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            problems.append(Problem(f"{text!r} is no pair", flag, allowed="KEY=VALUE, such as n_tips=3"))
        elif key in found:
            problems.append(Problem(f"{key!r} is there twice", flag))
        found[key] = _scalar(value)
    if problems:
        raise ConfigError(problems)
    return found


def _scalar(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}", text) else text


def option(name: str) -> str:
    """The option's spelling on the command line: `few_shot` is `--few-shot`."""
    return "--" + name.replace("_", "-")


def from_flags(
    models: Sequence[str], tasks: Sequence[str], prompts: Sequence[str] = (), **options: Unpack[Options]
) -> Spec:
    """The spec that options alone describe. Raises ConfigError with every problem, by option."""
    return from_flags_located(models, tasks, prompts, **options)[0]


def from_flags_located(
    models: Sequence[str], tasks: Sequence[str], prompts: Sequence[str] = (), **options: Unpack[Options]
) -> tuple[Spec, Locations]:
    """As `from_flags`, and the option that set each value, for problems that are found later."""
    missing = [
        Problem("missing", where=flag, allowed=f"at least one, such as '{flag} {example}', or a spec file")
        for flag, names, example in (("-m", models, "smollm2-135m"), ("-t", tasks, "piqa"))
        if not names
    ]
    if missing:
        raise ConfigError(missing)
    draft = _Draft({}, Locations())
    draft.apply(models, tasks, prompts, options)
    return draft.spec()


def override(
    spec: Spec,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    prompts: Sequence[str] = (),
    **options: Unpack[Options],
) -> Spec:
    """`spec` with what the options say instead. Raises ConfigError with every problem, by option."""
    return override_located(spec, Locations(), models, tasks, prompts, **options)[0]


def override_located(
    spec: Spec,
    locations: Locations,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    prompts: Sequence[str] = (),
    **options: Unpack[Options],
) -> tuple[Spec, Locations]:
    """As `override`, and the line or option of each value."""
    draft = _Draft(spec.model_dump(), locations)
    draft.apply(models, tasks, prompts, options)
    return draft.spec()


class _Draft:
    """A spec in the making: plain values, and where each comes from."""

    def __init__(self, value: dict[str, Any], locations: Locations) -> None:
        self.value = value
        self.where = locations.where
        self.lines = dict(locations.lines)
        self.options = dict(locations.options)

    def spec(self) -> tuple[Spec, Locations]:
        locations = Locations(self.where, self.lines, self.options)
        return check(self.value, locations), locations

    def apply(
        self,
        models: Sequence[str],
        tasks: Sequence[str],
        prompts: Sequence[str],
        options: Options,
    ) -> None:
        self._choose("models", "model", models, "-m")
        self._choose("tasks", "task", tasks, "-t")
        self._choose("prompts", "", prompts, "-p")
        given: Mapping[str, Any] = options
        for name, place in _PLACES.items():
            if (value := given.get(name)) is not None:
                self._set(name, place, value)
        self._parameters(given)

    def _parameters(self, given: Mapping[str, Any]) -> None:
        """Set parameters of tasks: `--option` for all of them, the others for those that are scenarios."""
        for index, task in enumerate(self.value.get("tasks", ())):
            scenario = task["task"] == "tips" or task["task"].startswith("scenario:")
            named = {name: given[name] for name in _SCENARIO_OPTIONS if scenario and given.get(name) is not None}
            flags = dict.fromkeys(pairs(given.get("option") or ()), "--option") | {name: option(name) for name in named}
            values = pairs(given.get("option") or ()) | named
            if values:
                task["options"] = {**task.get("options", {}), **values}
                self.options |= {("tasks", index, "options", name): flag for name, flag in flags.items()}
        if unused := self._unused(given):
            raise ConfigError(Problem("no task of this run is a scenario", unused, allowed="-t tips, -t scenario:FILE"))

    def _unused(self, given: Mapping[str, Any]) -> str | None:
        """The first option for scenarios where there are none: it would be lost in silence."""
        names = [task["task"] for task in self.value.get("tasks", ())]
        if any(name == "tips" or name.startswith("scenario:") for name in names):
            return None
        return next((option(name) for name in _SCENARIO_OPTIONS if given.get(name) is not None), None)

    def _choose(self, key: str, noun: str, names: Sequence[str], flag: str) -> None:
        """Replace the list `key` by `names`; an entry of that name keeps its settings and its line."""
        if not names:
            return
        old = list(self.value.get(key, ()))
        chosen = [self._find(old, noun, name) for name in names]
        self.value[key] = [
            old[index] if index is not None else {noun: name} if noun else name
            for index, name in zip(chosen, names, strict=True)
        ]
        self.lines = _moved(self.lines, key, chosen)
        self.options = _moved(self.options, key, chosen)
        self.options |= {(key, place): flag for place, index in enumerate(chosen) if index is None}

    def _find(self, entries: Sequence[Any], noun: str, name: str) -> int | None:
        if not noun:
            return None
        for index, entry in enumerate(entries):
            if name in (entry.get("name"), entry[noun]):
                return index
        return None

    def _set(self, name: str, place: _Place, value: Any) -> None:
        value = list(value) if isinstance(value, tuple) else value
        if place.task:
            self._set_tasks(place.task, None if place.path else value, option(name))
        if place.path:
            *outer, last = place.path
            target = self.value
            for part in outer:
                target = target.setdefault(part, {})
            target[last] = value
            self.options[place.path] = option(name)
        if name == "concurrency" and (self.value["concurrency"].get("start") or 0) > value:
            self.value["concurrency"]["start"] = None

    def _set_tasks(self, key: str, value: Any, flag: str) -> None:
        for index, task in enumerate(self.value.get("tasks", ())):
            task[key] = value
            self.options["tasks", index, key] = flag


def _moved(places: Mapping[Path, Any], key: str, chosen: Sequence[int | None]) -> dict[Path, Any]:
    """`places` where entry `chosen[i]` of the list `key` has become entry i."""
    moved = {path: place for path, place in places.items() if path[:1] != (key,) or len(path) == 1}
    for place, index in enumerate(chosen):
        inside = [path for path in places if index is not None and path[:2] == (key, index)]
        moved |= {(key, place, *path[2:]): places[path] for path in inside}
    return moved
