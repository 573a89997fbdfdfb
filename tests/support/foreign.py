"""Small results of other tools, written as those tools write them: sound by default, with every fault by one change."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def written(path: Path, value: Any) -> Path:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def lines(path: Path, rows: Iterable[Any]) -> Path:
    """A file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lm_row(doc: int, value: float, filter: str = "none", **more: Any) -> dict[str, Any]:
    """One row of lm-eval's log of samples."""
    row = {"doc_id": doc, "doc": {"question": f"q{doc}", "subject": "s"}, "target": f"t{doc}"}
    row |= {
        "arguments": {"gen_args_0": {"arg_0": f"Q: q{doc}\nA:", "arg_1": {"until": ["\n"]}}},
        "resps": [[f"r{doc}"]],
    }
    row |= {"filtered_resps": [f"r{doc}"], "filter": filter, "metrics": ["exact_match"], "doc_hash": f"h{doc}"}
    return {**row, "exact_match": value, **more}


def lm_eval(
    folder: Path, values: Mapping[str, Iterable[float]], rows: Iterable[Any] | None = None, **more: Any
) -> Path:
    """A results file of one task `t`, whose filters have these values, with its samples beside it."""
    lists = {name: list(found) for name, found in values.items()}
    entry: dict[str, Any] = {"alias": "t"}
    for name, found in lists.items():
        entry |= {f"exact_match,{name}": sum(found) / len(found), f"exact_match_stderr,{name}": 0.1}
    count = max(len(found) for found in lists.values())
    metric = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    results = {
        "results": {"t": entry},
        "configs": {"t": {"output_type": "generate_until", "metric_list": [metric]}},
        "versions": {"t": 2},
        "n-samples": {"t": {"original": count, "effective": count}},
        "higher_is_better": {"t": {"exact_match": True}},
        "config": {"model": "hf"},
        "model_name": "org/m",
        "lm_eval_version": "0.4.13",
    }
    made = [lm_row(doc, value, name) for name, found in lists.items() for doc, value in enumerate(found)]
    lines(folder / "samples_t_2026.jsonl", made if rows is None else rows)
    return written(folder / "results_2026.json", {**results, **more})


def inspect_sample(name: Any, grade: Any = "C", epoch: int = 1, **more: Any) -> dict[str, Any]:
    """One sample of an Inspect log."""
    message = {"role": "assistant", "content": f"a{name}"}
    usage = {"input_tokens": 5, "output_tokens": 2}
    output = {"model": "m", "choices": [{"message": message, "stop_reason": "stop"}], "usage": usage}
    sample = {"id": name, "epoch": epoch, "input": f"q{name}", "target": f"t{name}", "output": output}
    return {**sample, "scores": {"match": {"value": grade, "answer": f"a{name}"}}, "metadata": {}, **more}


def inspect_log(samples: list[Any], accuracy: float | None = None, **more: Any) -> dict[str, Any]:
    """An Inspect log that ended well."""
    told = {"task": "org/t", "model": "openai/m", "packages": {"inspect_ai": "0.3.154"}, "dataset": {"name": "d"}}
    told |= {"config": {"epochs": 1}, "scorers": [{"name": "match"}], "task_version": 0}
    scores = []
    if accuracy is not None:
        metrics = {"accuracy": {"name": "accuracy", "value": accuracy}, "stderr": {"name": "stderr", "value": 0.1}}
        scores.append({"name": "match", "scorer": "match", "scored_samples": len(samples), "metrics": metrics})
    results = {"total_samples": len(samples), "completed_samples": len(samples), "scores": scores}
    return {"version": 2, "status": "success", "eval": told, "plan": {}, "results": results, "samples": samples, **more}


def inspect_zip(path: Path, log: Mapping[str, Any], packed: int = zipfile.ZIP_DEFLATED) -> Path:
    """The same log as an `.eval`."""
    with zipfile.ZipFile(path, "w", packed) as file:
        for sample in log["samples"]:
            file.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
        file.writestr("header.json", json.dumps({key: value for key, value in log.items() if key != "samples"}))
    return path


def evalplus(statuses: Mapping[str, Iterable[tuple[str, str | None]]], **more: Any) -> dict[str, Any]:
    """EvalPlus's results: for each problem the (base, plus) status of each of its solutions."""
    found = {
        name: [
            {"task_id": name, "solution": f"def f(): return {number}", "base_status": base, "plus_status": plus}
            for number, (base, plus) in enumerate(pairs)
        ]
        for name, pairs in statuses.items()
    }
    return {"date": "2026-01-01 00:00", "hash": "abc", "eval": found, **more}


def promptfoo(cells: Iterable[tuple[str, str]], results: list[Any], **more: Any) -> dict[str, Any]:
    """promptfoo's JSON: its columns (provider, prompt) and its rows; counts are made to fit."""
    columns = []
    for number, (provider, raw) in enumerate(cells):
        mine = [row for row in results if row["promptIdx"] == number]
        counts = {"testPassCount": sum(row["success"] for row in mine if row.get("failureReason") != 2)}
        counts["testErrorCount"] = sum(row.get("failureReason") == 2 for row in mine)
        counts["testFailCount"] = len(mine) - counts["testPassCount"] - counts["testErrorCount"]
        columns.append({"raw": raw, "label": raw, "provider": provider, "metrics": counts})
    body = {"version": 3, "prompts": columns, "results": results, "stats": {}}
    return {"results": body, "config": {}, "metadata": {"promptfooVersion": "0.123.1"}, **more}


def promptfoo_row(cell: int, test: int, success: bool = True, provider: str = "echo", **more: Any) -> dict[str, Any]:
    """One result of promptfoo."""
    case = {"vars": {"question": f"q{test}"}, "assert": [{"type": "contains", "value": f"t{test}"}]}
    row = {"promptIdx": cell, "testIdx": test, "success": success, "score": float(success), "testCase": case}
    row |= {"vars": case["vars"], "provider": {"id": provider, "label": ""}, "prompt": {"raw": f"Q: q{test}"}}
    row |= {"response": {"output": f"a{test}"}, "gradingResult": {"pass": success, "score": float(success)}}
    return {**row, "failureReason": 0 if success else 1, **more}
