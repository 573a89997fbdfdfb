"""`gate ptq`: sound checkpoints pass, and each way to be unsound is found and named. What comparable gates get wrong
is among them: they believe a summary, one quantized layer of many, a label, sizes that are none.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import EvidenceError
from assay.gates.checkpoint import CheckpointView, from_json
from assay.gates.ptq import ptq
from assay.gates.recipe import RECIPES
from assay.release.checkpoint import view
from support.checkpoints import DECLARED, LINEAR, candidate, gguf, llama, numbers, quantized, safetensors, source

SCHEMES = tuple(DECLARED)


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> CheckpointView:
    return view(source(tmp_path_factory.mktemp("source") / "source"))


@pytest.fixture
def made(tmp_path):
    """The view of a tiny candidate: its scheme, its tensors where they are not the scheme's own, its config."""
    return lambda scheme="FP8_DYNAMIC", tensors=None, **config: view(
        candidate(tmp_path / "made", scheme, tensors, **config)
    )


def failed(result) -> set[str]:
    return {check.name for check in result.checks if check.ok is not True}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_sound_checkpoint_passes(before, made, scheme):
    found = ptq(before, made(scheme), scheme)
    assert (found.verdict, found.failure_class, found.exit_code, failed(found)) == ("PASS", None, 0, set())
    assert found.numbers["covered"] == found.numbers["targeted"] == len(LINEAR) == 14
    low, high = RECIPES[scheme].band
    assert low <= found.numbers["linear_bits"] <= high
    assert {item["role"]: len(item["sha256"]) for item in found.inputs} == {"source": 64, "candidate": 64}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_scheme_passes_for_another(before, made, scheme):
    found = made(scheme)
    for other in SCHEMES:
        assert (ptq(before, found, other).verdict == "PASS") == (other == scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_layer_of_many_is_no_quantized_model(before, made, scheme):
    found = ptq(before, made(scheme, quantized(scheme, only=LINEAR[:1])), scheme)
    assert (found.verdict, found.failure_class) == ("FAIL", "QUANT_COVERAGE_FAILURE")
    assert {"covered", "linear_bits"} <= failed(found)
    assert "13 of 14 targeted layers" in " ".join(found.reasons)


def test_the_declaration_is_not_believed(before, made):
    """A configuration that says FP8 over tensors that are BF16."""
    found = ptq(before, made("FP8_DYNAMIC", quantized("FP8_DYNAMIC", only=())), "FP8_DYNAMIC")
    assert found.failure_class == "QUANT_COVERAGE_FAILURE"
    assert {"covered", "scheme_held", "linear_bits"} <= failed(found)
    assert "BF16 14" in " ".join(found.reasons)


def test_nor_is_it_dispensable(before, made):
    silent = ptq(before, made(quantization_config=None), "FP8_DYNAMIC")
    assert {"declared", "declared_method"} <= failed(silent)
    assert "metadata" not in failed(silent)
    other = ptq(before, made(quantization_config=DECLARED["W8A8"]), "FP8_DYNAMIC")
    assert failed(other) == {"declared"}


def test_layers_that_are_said_to_be_left_out(before, made):
    said = {**DECLARED["FP8_DYNAMIC"], "ignore": ["lm_head", LINEAR[0]]}
    assert failed(ptq(before, made(quantization_config=said), "FP8_DYNAMIC")) == {"declared_ignore"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_weight_has_its_scales(before, made, scheme):
    for part in RECIPES[scheme].scales:
        tensors = quantized(scheme)
        del tensors[f"{LINEAR[3]}.{part}"]
        found = ptq(before, made(scheme, tensors), scheme)
        assert failed(found) == {"scales"}
        assert LINEAR[3] in " ".join(found.reasons)


def test_scales_fit_their_weights(before, made):
    tensors = quantized("FP8_DYNAMIC")
    tensors[f"{LINEAR[3]}.weight_scale"] = ("BF16", (1, 1), numbers("BF16", (1, 1)))
    assert failed(ptq(before, made(tensors=tensors), "FP8_DYNAMIC")) == {"scale_shapes"}


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (b"\x00\x00", {"scales_alive", "scales_zero"}),
        (b"\xc0\x7f", {"finite"}),
        (b"\x80\x7f", {"finite"}),
    ],
)
def test_scales_are_looked_at(before, made, bits, names):
    tensors = quantized("FP8_DYNAMIC")
    name = f"{LINEAR[3]}.weight_scale"
    dtype, shape, data = tensors[name]
    tensors[name] = (dtype, shape, bits * (len(data) // 2))
    assert failed(ptq(before, made(tensors=tensors), "FP8_DYNAMIC")) == names


def test_so_are_the_weights_that_stay(before, made):
    tensors = quantized("FP8_DYNAMIC")
    dtype, shape, data = tensors["model.norm.weight"]
    tensors["model.norm.weight"] = (dtype, shape, data[:-2] + b"\xc0\xff")
    assert failed(ptq(before, made(tensors=tensors), "FP8_DYNAMIC")) == {"finite"}


def test_and_the_weights_that_have_numbers_that_are_none(before, made):
    tensors = quantized("FP8_DYNAMIC")
    dtype, shape, data = tensors[f"{LINEAR[0]}.weight"]
    tensors[f"{LINEAR[0]}.weight"] = (dtype, shape, b"\xff" + data[1:])
    assert failed(ptq(before, made(tensors=tensors), "FP8_DYNAMIC")) == {"finite"}


def test_what_a_recipe_leaves_alone_stays(before, made):
    both = ptq(before, made(), "FP8_DYNAMIC-mlp-only")
    assert failed(both) == {"excluded"}
    only = tuple(name for name in LINEAR if ".mlp." in name)
    assert ptq(before, made(tensors=quantized("FP8_DYNAMIC", only=only)), "FP8_DYNAMIC-mlp-only").verdict == "PASS"
    output = tuple(name for name in LINEAR if ".mlp." in name or "o_proj" in name)
    assert ptq(before, made(tensors=quantized("FP8_DYNAMIC", only=output)), "FP8_DYNAMIC-mlp-o-only").verdict == "PASS"
    tensors = quantized("FP8_DYNAMIC")
    tensors["model.embed_tokens.weight_scale"] = ("BF16", (96, 1), numbers("BF16", (96, 1)))
    assert "scales_used" in failed(ptq(before, made(tensors=tensors), "FP8_DYNAMIC"))


def test_a_recipe_for_experts_is_not_for_a_dense_model(before, made):
    for bad in (made(), made("W8A8"), made(tensors=quantized("FP8_DYNAMIC", only=()))):
        found = ptq(before, bad, "FP8_DYNAMIC-experts-only")
        assert (found.verdict, found.failure_class, found.exit_code) == ("INFEASIBLE", "MODEL_UNSUPPORTED", 5)


def test_an_unsupported_model_goes_before_a_wrong_format(before):
    one = replace(before, format="gguf")
    assert ptq(one, one, "FP8_DYNAMIC-experts-only").failure_class == "MODEL_UNSUPPORTED"
    assert ptq(one, one, "FP8_DYNAMIC").failure_class == "USER_CONFIG_ERROR"


def test_experts_routers_and_towers(before):
    """Of a mixture of experts with a vision tower, experts are quantized, and routers and the tower never."""
    layer = "model.layers.0.mlp"
    tower = "model.vision_tower.encoder.layers.0.self_attn.q_proj"
    names = {f"{layer}.experts.{n}.up_proj": (64, 64) for n in range(4)} | {f"{layer}.gate": (4, 64), tower: (64, 64)}
    plain = {name: [tensor(f"{name}.weight", "BF16", shape)] for name, shape in names.items()}
    fp8 = {
        name: [tensor(f"{name}.weight", "F8_E4M3", shape), tensor(f"{name}.weight_scale", "BF16", (shape[0], 1))]
        for name, shape in names.items()
    }
    said = {"method": "compressed-tensors", "scheme": "x", "numbers": ["float8"], "groups": [], "ignore": []}

    def seen(*quantized: str) -> CheckpointView:
        chosen = [one for name in names for one in (fp8 if any(part in name for part in quantized) else plain)[name]]
        return replace(before, tensors=tuple(chosen), declared=said, total_bytes=sum(one.bytes or 0 for one in chosen))

    sparse = replace(seen(), declared=None)
    for recipe in ("FP8_DYNAMIC", "FP8_DYNAMIC-experts-only"):
        assert ptq(sparse, seen("experts"), recipe).verdict == "PASS"
        assert failed(ptq(sparse, seen("experts", "gate"), recipe)) == {"excluded"}
        assert failed(ptq(sparse, seen("experts", "vision"), recipe)) == {"excluded"}
        assert {"covered"} <= failed(ptq(sparse, seen("experts.0"), recipe))


def tensor(name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    from assay.gates.checkpoint import TensorView
    from support.checkpoints import size

    return TensorView(name, dtype, shape, size(dtype, shape))


def test_tensors_neither_come_nor_go(before, made):
    tensors = quantized("FP8_DYNAMIC")
    lost = {name: one for name, one in tensors.items() if "norm" not in name}
    assert failed(ptq(before, made(tensors=lost), "FP8_DYNAMIC")) == {"tensors_kept"}
    tensors["model.extra.weight"] = ("BF16", (2, 2), numbers("BF16", (2, 2)))
    assert failed(ptq(before, made(tensors=tensors), "FP8_DYNAMIC")) == {"tensors_added"}


def test_names_do_not_steer_a_terminal(before, made):
    tensors = {**quantized("FP8_DYNAMIC"), "\x1b[2J" + "x" * 999: ("BF16", (1,), b"ab")}
    (reason,) = ptq(before, made(tensors=tensors), "FP8_DYNAMIC").reasons
    assert reason.isprintable()
    assert len(reason) < 250


def test_a_tied_head_may_be_written_or_not(before, made):
    tensors = quantized("FP8_DYNAMIC")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    assert ptq(before, made(tensors=tensors), "FP8_DYNAMIC").verdict == "PASS"
    untied = made(tensors=tensors, tie_word_embeddings=False)
    assert failed(ptq(replace(before, tied=False), untied, "FP8_DYNAMIC")) == {"tensors_added", "metadata"}


def test_a_weight_of_another_shape(before, made):
    tensors = quantized("FP8_DYNAMIC")
    tensors["model.norm.weight"] = ("BF16", (32,), numbers("BF16", (32,)))
    tensors[f"{LINEAR[0]}.weight"] = ("F8_E4M3", (32, 64), numbers("F8_E4M3", (32, 64)))
    assert "shapes" in failed(ptq(before, made(tensors=tensors), "FP8_DYNAMIC"))


def test_no_cast_goes_unseen(before, made):
    tensors = quantized("FP8_DYNAMIC")
    shape = tensors["model.norm.weight"][1]
    tensors["model.norm.weight"] = ("F16", shape, numbers("F16", shape))
    assert failed(ptq(before, made(tensors=tensors), "FP8_DYNAMIC")) == {"excluded"}


# Sizes that are none: 0, negative, not a number


@pytest.mark.parametrize("size", [-5, float("nan"), True, "12", None, 2**60])
def test_sizes_are_counts(before, size):
    with pytest.raises(EvidenceError, match="total_bytes"):
        from_json({**before.to_json(), "total_bytes": size})
    found = ptq(before.to_json(), {**before.to_json(), "total_bytes": size}, "FP8_DYNAMIC")
    assert (found.verdict, found.failure_class, found.exit_code) == ("FAIL", "EVIDENCE_INVALID", 1)


def test_no_bytes_are_not_a_small_checkpoint(before, made):
    found = made()
    assert failed(ptq(before, replace(found, total_bytes=0), "FP8_DYNAMIC")) == {"size"}
    assert failed(ptq(before, replace(found, total_bytes=before.total_bytes), "FP8_DYNAMIC")) == {"size"}
    assert failed(ptq(before, replace(found, tensors=()), "FP8_DYNAMIC")) == {"readable"}


@pytest.mark.parametrize("value", [None, [], "x", 3, {}, {"schema": "assay.checkpoint_view.v2"}])
def test_what_is_no_view_is_refused(before, value):
    assert ptq(before, value, "Q4_0").failure_class == "EVIDENCE_INVALID"
    assert ptq(value, before, "Q4_0").failure_class == "EVIDENCE_INVALID"


@pytest.mark.parametrize("change", [{"tensors": None}, {"faults": "abc"}, {"missing": {}}, {"eos": {"a": "2"}}])
def test_parts_of_the_wrong_kind_are_refused(before, change):
    assert ptq(before, {**before.to_json(), **change}, "W8A8").failure_class == "EVIDENCE_INVALID"


@pytest.mark.parametrize("name", ["nvfp4", "q4", "", None, 7, ["FP8"]])
def test_an_unknown_recipe_is_the_users(before, name):
    found = ptq(before, before, name)
    assert (found.verdict, found.failure_class) == ("INFEASIBLE", "USER_CONFIG_ERROR")
    assert "no recipe" in found.reasons[0]


def test_a_quantized_source_is_no_measure(before, made):
    found = ptq(made(), made(), "FP8_DYNAMIC")
    assert (found.verdict, found.failure_class) == ("INFEASIBLE", "USER_CONFIG_ERROR")
    assert failed(found) == {"source_precision"}


def test_the_page_names_every_check(before, made):
    page = (Path(__file__).parents[1] / "docs" / "checkpoints.md").read_text()
    names = {check.name for check in ptq(before, made(), "FP8_DYNAMIC").checks}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


# Settings


@pytest.mark.parametrize(
    ("config", "blocking"),
    [
        ({"transformers_version": "9"}, False),
        ({"local_files_only": True}, False),
        ({"torch_dtype": "bfloat16", "dtype": None}, False),
        ({"rope_theta": None, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}, False),
        ({"attention_bias": False, "head_dim": 16}, False),
        ({"attention_bias": True}, True),
        ({"head_dim": 32}, True),
        ({"rope_theta": 500000.0}, True),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, True),
        ({"architectures": ["MistralForCausalLM"]}, True),
        ({"dtype": "float16"}, True),
        ({"max_position_embeddings": 1}, True),
        ({"vocab_size": 97}, True),
        ({"eos_token_id": 1}, True),
        ({"x": True}, True),
    ],
)
def test_which_settings_may_change(before, made, config, blocking):
    config = {"quantization_config": DECLARED["FP8_DYNAMIC"], **config}
    found = ptq(before, made(**config), "FP8_DYNAMIC")
    assert ("metadata" in failed(found)) == blocking, found.numbers["changes"]
    kinds = {one["kind"] for one in found.numbers["changes"]}
    assert "expected" in kinds


@pytest.mark.parametrize(
    ("file", "change", "names"),
    [
        ("generation_config.json", {"eos_token_id": [1]}, {"metadata", "eos"}),
        ("generation_config.json", {"temperature": 0.1}, {"metadata"}),
        ("generation_config.json", {"transformers_version": "9"}, set()),
        ("tokenizer_config.json", {"eos_token": "<|im_start|>"}, {"metadata", "eos"}),
        ("tokenizer_config.json", {"eos_token": {"content": "<|im_end|>", "lstrip": False}}, set()),
        ("tokenizer_config.json", {"tokenizer_class": "TokenizersBackend", "backend": "tokenizers"}, set()),
        ("tokenizer_config.json", {"add_bos_token": True}, {"metadata"}),
        ("tokenizer.json", {"truncation": {"max_length": 8}}, {"metadata"}),
        ("tokenizer.json", {"added_tokens": [{"id": 2, "content": "<|im_end|>"}]}, {"metadata"}),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {"a": 3, "b": 4, "ab": 5}, "merges": ["a b"]}}, set()),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {"a": 4, "b": 3}, "merges": []}}, {"metadata"}),
    ],
)
def test_the_small_files(before, tmp_path, file, change, names):
    folder = candidate(tmp_path / "made", "FP8_DYNAMIC")
    value = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**value, **change}))
    assert failed(ptq(before, view(folder), "FP8_DYNAMIC")) == names


def test_the_chat_template_wherever_it_is_kept(before, tmp_path):
    folder = candidate(tmp_path / "made", "FP8_DYNAMIC")
    (folder / "chat_template.jinja").unlink()
    assert failed(ptq(before, view(folder), "FP8_DYNAMIC")) == {"metadata"}
    said = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**said, "chat_template": "{{ messages }}"}))
    assert ptq(before, view(folder), "FP8_DYNAMIC").verdict == "PASS"


def test_a_disagreement_that_the_source_has_too_is_not_the_quantizers(before, tmp_path):
    def odd(folder):
        (folder / "generation_config.json").write_text('{"eos_token_id": [7]}')
        return view(folder)

    one, other = odd(source(tmp_path / "source")), odd(candidate(tmp_path / "made", "FP8_DYNAMIC"))
    assert ptq(one, other, "FP8_DYNAMIC").verdict == "PASS"


# Shards


def test_shards_that_are_missing_or_too_many(before, tmp_path):
    folder = candidate(tmp_path / "made", "FP8_DYNAMIC")
    tensors = quantized("FP8_DYNAMIC")
    names = list(tensors)
    files = {"one.safetensors": names[:20], "two.safetensors": names[20:]}
    (folder / "model.safetensors").unlink()
    for file, held in files.items():
        safetensors(folder / file, {name: tensors[name] for name in held})
    index = {"weight_map": {name: file for file, held in files.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert ptq(before, view(folder), "FP8_DYNAMIC").verdict == "PASS"
    safetensors(folder / "three.safetensors", {})
    assert failed(ptq(before, view(folder), "FP8_DYNAMIC")) == {"extra_files"}
    (folder / "three.safetensors").unlink()
    (folder / "two.safetensors").unlink()
    assert {"shards", "tensors_kept"} <= failed(ptq(before, view(folder), "FP8_DYNAMIC"))


def test_a_broken_file_is_a_failed_gate(before, tmp_path):
    folder = candidate(tmp_path / "made", "FP8_DYNAMIC")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    found = ptq(before, view(folder), "FP8_DYNAMIC")
    assert (found.verdict, found.failure_class, failed(found)) == ("FAIL", "EVIDENCE_INVALID", {"readable"})
    assert "the file is cut" in found.reasons[0]
    assert str(tmp_path) not in json.dumps(found.to_json())


# GGUF


def tiny(path, kind="F16", label=1, seed=0, **keys):
    """A tiny model of width 64: no row of it divides into blocks of 256."""
    names = {"self_attn.q_proj": "attn_q", "mlp.down_proj": "ffn_down"}
    tensors: dict[str, Any] = {}
    for name, shape in llama(2, 64, 256, 32, 96).items():
        part = next((new for old, new in names.items() if old in name), None)
        if part:
            layer = name.split(".")[2]
            chosen = kind(part) if callable(kind) else kind
            tensors[f"blk.{layer}.{part}.weight"] = (chosen, shape, blocks(chosen, shape, seed))
    tensors["output_norm.weight"] = ("F32", (64,), numbers("F32", (64,)))
    general = {"general.architecture": "llama", "general.file_type": label, "tokenizer.ggml.eos_token_id": 2}
    return view(gguf(path, {**general, "llama.context_length": 64, "tokenizer.chat_template": "x", **keys}, tensors))


def blocks(kind: str, shape: tuple[int, ...], seed: int) -> bytes:
    if kind in ("F16", "F32"):
        return numbers(kind, shape, seed)
    width, values = {"Q8_0": (34, 32), "Q4_0": (18, 32), "Q5_0": (22, 32), "Q4_K": (144, 256)}[kind]
    count = shape[0] * shape[1] // values
    return (b"\x00\x3c\x00\x3c" + b"\x11" * (width - 4)) * count


@pytest.fixture
def half(tmp_path):
    return tiny(tmp_path / "source.gguf")


def test_gguf_by_its_tensors(half, tmp_path):
    eight = tiny(tmp_path / "q8.gguf", "Q8_0", 7)
    four = tiny(tmp_path / "q4.gguf", "Q4_0", 2)
    assert ptq(half, eight, "Q8_0").verdict == ptq(half, four, "Q4_0").verdict == "PASS"
    assert ptq(half, half, "F16").verdict == "PASS"
    assert ptq(four, half, "F16").verdict == "PASS"  # a source in 16 bits, made of one in 4
    assert {"covered", "declared", "linear_bits", "scheme_held"} <= failed(ptq(half, four, "Q8_0"))


def test_a_label_alone_is_no_q2_k(half, tmp_path):
    mixed = tiny(tmp_path / "q2.gguf", "Q4_0", 10)
    found = ptq(half, mixed, "Q2_K")
    assert (found.verdict, found.failure_class) == ("FAIL", "QUANT_COVERAGE_FAILURE")
    assert "holds no tensor of Q2_K, whatever its label says: its layers are Q4_0 4" in found.reasons[0]
    assert "declared" not in failed(found)


def test_fallbacks_are_counted(half, tmp_path):
    mixed = tiny(tmp_path / "q4.gguf", lambda part: "Q4_K" if part == "ffn_down" else "Q5_0", 15)
    found = ptq(half, mixed, "Q4_K_M")
    assert found.verdict == "PASS"
    assert found.numbers["fallbacks"] == {"Q5_0": 2}
    assert found.numbers["fallback_share"] == pytest.approx(64 * 64 / (64 * 64 + 64 * 256))
    assert "2 of them in a fallback type (Q5_0 2)" in found.reasons[0]
    left = tiny(tmp_path / "left.gguf", lambda part: "Q4_K" if part == "ffn_down" else "F16", 15)
    assert "covered" in failed(ptq(half, left, "Q4_K_M"))


def test_scales_inside_blocks(half, tmp_path):
    path = tmp_path / "q8.gguf"
    tiny(path, "Q8_0", 7)
    data = path.read_bytes()
    block = b"\x00\x3c\x00\x3c"
    for bad, names in ((b"\x00\x7e", {"finite"}), (b"\x00\x00", {"scales_alive", "scales_zero"})):
        path.write_bytes(data.replace(block, bad + block[2:]))
        assert failed(ptq(half, view(path), "Q8_0")) == names


@pytest.mark.parametrize(
    ("key", "value", "blocking"),
    [
        ("general.name", "other", False),
        ("quantize.imatrix.file", "x", False),
        ("llama.context_length", 32, True),
        ("tokenizer.ggml.tokens", ["a", "b"], True),
        ("tokenizer.chat_template", "y", True),
        ("tokenizer.ggml.eos_token_id", 1, True),
        ("llama.rope.freq_base", 1.0, True),
        ("tokenizer.ggml.add_bos_token", True, True),
    ],
)
def test_which_keys_of_gguf_may_change(half, tmp_path, key, value, blocking):
    other = tiny(tmp_path / "q8.gguf", "Q8_0", 7, **{key: value})
    assert ("metadata" in failed(ptq(half, other, "Q8_0"))) == blocking


def test_results_are_the_same_bytes_each_time_and_from_json(before, made):
    found = made()
    once = ptq(before, found, "FP8_DYNAMIC").to_json()
    again = ptq(
        json.loads(json.dumps(before.to_json())), json.loads(json.dumps(found.to_json())), RECIPES["FP8_DYNAMIC"]
    )
    assert json.dumps(once) == json.dumps(again.to_json())


@given(st.data())
def test_no_view_makes_it_raise(before, data):
    """Whatever tensors there are, the gate says something, and never that they pass for the tiny model."""
    names = st.sampled_from(
        [f"{LINEAR[0]}.{part}" for part in ("weight", "weight_scale", "bias", "x")] + ["a", "lm_head"]
    )
    shapes = st.lists(st.integers(0, 9), max_size=3)
    rows = st.fixed_dictionaries(
        {"name": names, "dtype": st.sampled_from(["BF16", "F8_E4M3", "I32", "?"]), "shape": shapes}
        | {"bytes": st.one_of(st.none(), st.integers(0, 99))}
    )
    tensors = data.draw(st.lists(rows, max_size=6, unique_by=lambda row: row["name"]))
    other = {**before.to_json(), "tensors": tensors}
    for name in ("FP8_DYNAMIC", "Q4_K_M", "W4A16", "F16"):
        assert ptq(before, other, name).verdict != "PASS"
        assert ptq(other, before, name).verdict != "PASS"


@pytest.mark.local
@pytest.mark.slow
def test_the_real_model_quantized_and_damaged(tmp_path):
    """SmolLM2 in 16 bits, made of the wheel's file, and in 8; then with a scale that is no number, and mislabelled."""
    from assay.models.named import SMOLLM2_135M
    from assay.release.quantizers import registry

    def quantize(path, name):
        out = tmp_path / f"{name}.gguf"
        registry.find("gguf").quantize(path, RECIPES[name], out, tmp_path / "log", lambda *_: None)
        return out

    half = quantize(SMOLLM2_135M.source.fetch(), "F16")
    eight = quantize(half, "Q8_0")
    before, after = view(half), view(eight)
    found = ptq(before, after, "Q8_0")
    assert (found.verdict, found.numbers["linear_bits"], found.numbers["types"]) == ("PASS", 8.5, {"Q8_0": 210})
    assert found.numbers["changes"][0]["kind"] == "expected"
    assert ptq(before, after, "Q2_K").failure_class == "QUANT_COVERAGE_FAILURE"
    assert ptq(before, after, "Q8_0-experts-only").failure_class == "MODEL_UNSUPPORTED"
    assert ptq(after, after, "Q8_0").failure_class == "USER_CONFIG_ERROR"
    from assay.release.checkpoint import inspect

    tensor = next(one for one in inspect(eight).tensors if one.name == "blk.7.ffn_down.weight")
    with eight.open("r+b") as file:
        file.seek(tensor.offset)
        file.write(b"\x00\x7e")
    assert failed(ptq(before, view(eight), "Q8_0")) == {"finite"}
