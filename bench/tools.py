"""The tools side by side: their environments, and the command with which each does the same work.

The same: one chat request a prompt, 64 in flight, at most 16 tokens, temperature 0, scored by exact match
against the file's target, with every sample kept on disk. Otherwise each tool runs with its defaults.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from process import ROOT, NotDoneError

HOME = ROOT / ".bench"
PEERS = Path(__file__).resolve().parent / "peers"
IN_FLIGHT = 64
MAX_TOKENS = 16

Command = list[str | Path]


class Environment:
    """Where a tool lives: its name, what is installed, and its interpreter."""

    name: str
    requirements: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The interpreter of its own environment."""
        return HOME / self.name / "bin" / "python"

    def install(self) -> None:
        """Make its environment under .bench/, unless it is there already with the same requirements."""
        stamp = HOME / self.name / "requirements.json"
        if stamp.exists() and json.loads(stamp.read_text()) == list(self.requirements):
            return
        print(f"bench: installing {' '.join(self.requirements)}", file=sys.stderr)
        venv.create(HOME / self.name, with_pip=True, clear=True)
        pip = [str(self.python), "-m", "pip", "install", "--quiet", *self.requirements]
        subprocess.run(pip, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        stamp.write_text(json.dumps(self.requirements))


class Tool(Environment, ABC):
    """One tool: how to install it, how to start it, how to see that it did its work."""

    def env(self, folder: Path) -> Mapping[str, str]:
        """What its process needs in the environment."""
        return {}

    @abstractmethod
    def command(self, url: str, prompts: Path, folder: Path) -> Command:
        """The command that evaluates `prompts` against `url` and leaves its files in `folder`."""

    @abstractmethod
    def score(self, folder: Path) -> float:
        """The accuracy that it reports. Raises NotDoneError where there is none."""


class Assay(Tool):
    """This repository's own, from the environment that runs the benchmark; its response cache is off."""

    name = "assay"

    @property
    def python(self) -> Path:  # noqa: D102
        return Path(sys.executable)

    def install(self) -> None:  # noqa: D102
        pass

    def env(self, folder: Path) -> Mapping[str, str]:  # noqa: D102
        return {"ASSAY_HOME": str(folder / "home")}

    def command(self, url: str, prompts: Path, folder: Path) -> Command:  # noqa: D102
        spec = folder / "spec.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        spec.write_text(self.spec(url, prompts))
        return [self.python.with_name("assay"), "eval", spec, "--out", folder / "run"]

    @staticmethod
    def spec(url: str, prompts: Path) -> str:
        """The same work, as a spec. JSON is YAML."""
        fields = {"input": "input", "target": "target", "id": "id"}
        task = {"task": f"file:{prompts}", "fields": fields, "scoring_mode": "exact_match"}
        spec = {
            "name": "bench",
            "models": [{"model": f"openai:stub@{url}", "name": "stub", "api": "chat"}],
            "tasks": [task | {"max_tokens": MAX_TOKENS}],
            "concurrency": {"limit": IN_FLIGHT, "start": IN_FLIGHT},
            "cache": "off",
        }
        return json.dumps(spec, indent=2)

    def score(self, folder: Path) -> float:  # noqa: D102
        results = json.loads((folder / "run" / "results.json").read_text())
        if not (folder / "run" / "manifest.json").exists():
            raise NotDoneError(f"{folder}: the run is not sealed")
        return next(float(each["value"]) for each in results["cells"][0]["metrics"] if each["primary"])


class LmEval(Tool):
    """lm-evaluation-harness, through its client for chat endpoints."""

    name = "lm-eval"
    requirements = ("lm_eval[api]==0.4.13",)

    def env(self, folder: Path) -> Mapping[str, str]:  # noqa: D102
        cache = {"HF_HOME": str(HOME / "hf"), "HF_DATASETS_CACHE": str(folder / "datasets")}
        return {"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", **cache}

    def command(self, url: str, prompts: Path, folder: Path) -> Command:  # noqa: D102
        tasks = folder / "tasks"
        tasks.mkdir(parents=True, exist_ok=True)
        (tasks / "bench.yaml").write_text(self.task(prompts))
        model = f"model=stub,base_url={url}/chat/completions,num_concurrent={IN_FLIGHT}"
        run: Command = [self.python.with_name("lm_eval"), "run", "--model", "local-chat-completions"]
        run += [
            "--model_args",
            f"{model},tokenized_requests=False",
            "--tasks",
            "bench",
            "--include_path",
            tasks,
        ]
        return [*run, "--apply_chat_template", "--log_samples", "--output_path", folder / "out"]

    @staticmethod
    def task(prompts: Path) -> str:
        """The same work, as its task file. JSON is YAML."""
        metric = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
        task = {
            "task": "bench",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(prompts)}},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{input}}",
            "doc_to_target": "{{target}}",
            "generation_kwargs": {"max_gen_toks": MAX_TOKENS, "temperature": 0, "until": []},
            "metric_list": [metric],
        }
        return json.dumps(task, indent=2)

    def score(self, folder: Path) -> float:  # noqa: D102
        results = sorted((folder / "out").rglob("results_*.json"))
        if not results or not list((folder / "out").rglob("samples_bench_*.jsonl")):
            raise NotDoneError(f"{folder}: lm-eval left no results")
        return float(json.loads(results[-1].read_text())["results"]["bench"]["exact_match,none"])


class Inspect(Tool):
    """Inspect AI, through its client for OpenAI's API."""

    name = "inspect"
    requirements = ("inspect-ai==0.3.285", "openai")

    def env(self, folder: Path) -> Mapping[str, str]:  # noqa: D102
        return {"STUB_API_KEY": "none", "XDG_DATA_HOME": str(folder / "share")}

    def command(self, url: str, prompts: Path, folder: Path) -> Command:  # noqa: D102
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(PEERS / "inspect_task.py", folder)  # it takes relative names only
        run: Command = [self.python.with_name("inspect"), "eval", "inspect_task.py", "-T", f"file={prompts}"]
        run += ["--model", "openai-api/stub/stub", "--model-base-url", url, "--display", "none"]
        run += ["--max-connections", str(IN_FLIGHT), "--max-samples", str(IN_FLIGHT)]
        return [*run, "--max-tokens", str(MAX_TOKENS), "--temperature", "0", "--log-dir", folder / "logs"]

    def score(self, folder: Path) -> float:  # noqa: D102
        logs = list((folder / "logs").glob("*.eval"))
        if len(logs) != 1:
            raise NotDoneError(f"{folder}: {len(logs)} logs")
        dump = [str(self.python.with_name("inspect")), "log", "dump", "--header-only", str(logs[0])]
        header = json.loads(subprocess.run(dump, check=True, capture_output=True).stdout)
        if header["status"] != "success":
            raise NotDoneError(f"{folder}: Inspect says {header['status']}")
        return float(header["results"]["scores"][0]["metrics"]["mean"]["value"])


class Bare(Tool):
    """aiohttp alone: the floor, which keeps and scores nothing."""

    name = "aiohttp"

    @property
    def python(self) -> Path:  # noqa: D102
        return Path(sys.executable)

    def install(self) -> None:  # noqa: D102
        pass

    def command(self, url: str, prompts: Path, folder: Path) -> Command:  # noqa: D102
        return [self.python, PEERS / "bare.py", url, prompts, str(IN_FLIGHT)]

    def score(self, folder: Path) -> float:  # noqa: D102
        return float("nan")
