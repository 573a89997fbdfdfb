"""The path of safetensors, for real: SmolLM2 quantized by llmcompressor and modelopt, and a whole release of it.

`make test-hf` runs it. The environments of the tools are made by assay, some 5 GB, and kept where ASSAY_HOME is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from assay.cli.release import release as command
from assay.files import read_json
from assay.gates.ptq import ptq
from assay.gates.recipe import RECIPES
from assay.release import sources
from assay.release.checkpoint import inspect, view
from assay.release.quantizers import registry
from assay.release.quantizers.llmcompressor import CONVERTED
from assay.release.verify import verify
from support.releasing import finished

pytestmark = [pytest.mark.ptq, pytest.mark.slow, pytest.mark.timeout(1800)]
EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "release-safetensors.yaml"


@pytest.fixture(scope="module")
def kept(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose wheels and environments are kept between runs where the caller named one."""
    folder = tmp_path_factory.mktemp("home")
    environments = downloads.parent / "environments"
    environments.mkdir(exist_ok=True)
    for place in (downloads, environments):
        (folder / place.name).symlink_to(place, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_HOME", str(folder))
        yield folder


@pytest.fixture
def home(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of an empty home."""
    monkeypatch.setenv("ASSAY_HOME", str(kept))
    return kept


@pytest.fixture(scope="module")
def folder(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 as a Hugging Face folder in BF16."""
    place = tmp_path_factory.mktemp("folder")
    source = sources.resolve("smollm2-135m")
    return registry.find("llmcompressor").quantize(source, CONVERTED, place / "bf16", place / "log").path


@pytest.mark.parametrize(
    "name", ["FP8_DYNAMIC", "W8A8", "W4A16-g64", "NVFP4A16", "FP8_DYNAMIC-mlp-only", "FP8", "INT8", "NVFP4"]
)
def test_a_folder_is_quantized_and_the_gate_lets_it_through(folder: Path, tmp_path: Path, name: str) -> None:
    recipe = RECIPES[name]
    small = {"calibration_samples": 2, "calibration_length": 64} if recipe.quantizer == "modelopt" else {}
    asked = replace(recipe, options={**recipe.options, **small})
    result = registry.find(recipe.quantizer).quantize(folder, asked, tmp_path / "x", tmp_path / "log")

    said = ptq(view(folder), view(result.path), asked)
    assert said.verdict == "PASS", said.reasons
    assert said.numbers["covered"] == (90 if name.endswith("mlp-only") else 210)
    low, high = (bits / 16 for bits in recipe.band)
    assert low <= said.numbers["linear_ratio"] <= high
    assert not any("lm_head" in one.name for one in inspect(result.path).tensors)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (result.path / file).read_bytes() == (folder / file).read_bytes()
    assert result.environment["name"] == recipe.quantizer
    assert f"{recipe.quantizer}==" in " ".join(result.environment["packages"]).replace("nvidia-modelopt", "modelopt")


@pytest.fixture(scope="module")
def released(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release of the example, decided."""
    path = tmp_path_factory.mktemp("release") / "out"
    result = CliRunner().invoke(command, ["run", str(EXAMPLE), "--out", str(path), "--json"])
    assert result.exit_code == 0, result.output
    assert orjson.loads(result.stdout)["verdict"] == "ACCEPT"
    return path


def test_a_release_of_a_folder_goes_through_all_stages(released: Path) -> None:
    each = [f"{stage}-{point}" for point in ("baseline", "FP8_DYNAMIC") for stage in ("deploy", "evaluate", "run")]
    assert {"prepare", "quantize-FP8_DYNAMIC", "ptq-FP8_DYNAMIC", *each, "decide"} <= set(finished(released))
    (point,) = read_json(released / "decision.json")["candidates"]
    assert point["tasks"][0]["pairs"] == 12
    assert 0.55 < point["ratio"] < 0.65
    served = read_json(released / "candidates" / "FP8_DYNAMIC" / "deploy" / "deployed.json")
    assert (served["model"]["deployer"], served["model"]["format"], served["now"]) == (
        "transformers",
        "safetensors",
        None,
    )
    answers = read_json(released / "candidates" / "FP8_DYNAMIC" / "gates" / "observation.json")["generations"]
    assert all(one["error"] is None for one in answers)


def test_it_verifies_and_a_changed_weight_is_found(released: Path) -> None:
    assert verify(released) == []
    (weights,) = (released / "candidates" / "FP8_DYNAMIC" / "checkpoint").rglob("model.safetensors")
    with weights.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    assert any("model.safetensors" in problem for problem in map(str, verify(released)))
