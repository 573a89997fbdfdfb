"""The table of recipes against the formats it is of, and recipes that people write."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import ConfigError
from assay.gates.layers import LINEAR, role, split
from assay.gates.recipe import RECIPES, VARIANTS, named, of
from assay.gates.recipe_file import load
from assay.models.gguf_header import TYPES

BLOCKS = {name: 8 * size / values for name, values, size in TYPES.values()}


def test_the_recipes_that_there_are():
    assert {"F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q3_K_M", "Q2_K"} < {
        recipe.name for recipe in of("gguf")
    }
    assert {"FP8_DYNAMIC", "W8A8", "W4A16", "W4A16-g64", "NVFP4A16"} < {one.name for one in of("llmcompressor")}
    assert {"FP8", "INT8", "NVFP4", "INT4_AWQ", "NVFP4-experts-only"} < {one.name for one in of("modelopt")}
    assert "F16-experts-only" not in RECIPES
    assert len({recipe.to_json()["digest"] for recipe in RECIPES.values()}) == len(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=str)
def test_each_recipe_is_consistent(recipe):
    low, high = recipe.band
    assert low <= recipe.bits <= high
    assert set(recipe.own) <= set(recipe.types)
    assert recipe.source
    nominal, least, most = recipe.ratio(16)
    assert least <= nominal <= most
    if recipe.format == "gguf":
        assert set(recipe.types) <= set(BLOCKS)
        # Of its own types alone it stays within the band.
        assert any(low <= BLOCKS[kind] <= high for kind in recipe.own)
        assert min(BLOCKS[kind] for kind in recipe.own) <= high


@pytest.mark.parametrize("name", ["Q8_0", "Q6_K", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4", "F16", "BF16"])
def test_bits_are_those_of_the_format(name):
    assert RECIPES[name].bits == BLOCKS[name]


def test_variants():
    recipe = named("NVFP4-mlp-only")
    assert (recipe.scheme, recipe.bits, recipe.targets) == ("NVFP4", 4.5, VARIANTS["mlp-only"])
    assert recipe.wants("model.layers.0.mlp.down_proj", "mlp")
    assert recipe.wants("model.layers.0.mlp.experts.3.down_proj", "expert")
    assert not recipe.allows("model.layers.0.self_attn.o_proj", "attention")
    assert named("NVFP4-mlp-o-only").wants("model.layers.0.self_attn.o_proj", "attention")
    assert not named("NVFP4-experts-only").allows("model.layers.0.mlp.down_proj", "mlp")


def test_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'Q4_K_M'"):
        named("q4_k_m")


@pytest.mark.parametrize(
    ("name", "dimensions", "expected"),
    [
        ("model.layers.3.self_attn.q_proj.weight", 2, "attention"),
        ("model.layers.3.mlp.gate_proj.weight", 2, "mlp"),
        ("model.layers.3.mlp.gate.weight", 2, "router"),
        ("model.layers.3.block_sparse_moe.gate.weight", 2, "router"),
        ("model.layers.3.mlp.shared_expert_gate.weight", 2, "router"),
        ("model.layers.3.mlp.shared_expert.up_proj.weight", 2, "mlp"),
        ("model.layers.3.mlp.experts.17.up_proj.weight", 2, "expert"),
        ("model.layers.3.mlp.experts.gate_up_proj", 3, "expert"),
        ("model.layers.3.input_layernorm.weight", 1, "norm"),
        ("model.layers.3.self_attn.q_norm.weight", 1, "norm"),
        ("model.embed_tokens.weight", 2, "embedding"),
        ("lm_head.weight", 2, "head"),
        ("vision_tower.encoder.layers.0.self_attn.q_proj.weight", 2, "vision"),
        ("model.visual.blocks.0.attn.qkv.weight", 2, "vision"),
        ("multi_modal_projector.linear_1.weight", 2, "vision"),
        ("transformer.h.0.mlp.c_fc.weight", 2, "mlp"),
        ("backbone.layers.0.mixer.in_proj.weight", 2, "linear"),
        ("backbone.layers.0.mixer.conv1d.weight", 3, "other"),
        ("blk.0.attn_q.weight", 2, "attention"),
        ("blk.0.ffn_down.weight", 2, "mlp"),
        ("blk.0.ffn_down_exps.weight", 3, "expert"),
        ("blk.0.ffn_gate_inp.weight", 2, "router"),
        ("blk.0.ffn_norm.weight", 1, "norm"),
        ("blk.0.attn_norm.weight", 1, "norm"),
        ("blk.0.attn_output.weight", 2, "attention"),
        ("token_embd.weight", 2, "embedding"),
        ("output.weight", 2, "head"),
        ("output_norm.weight", 1, "norm"),
        ("rope_freqs.weight", 1, "other"),
    ],
)
def test_roles(name, dimensions, expected):
    layer, part = split(name)
    assert part in ("weight", "")
    assert role(layer, dimensions) == expected
    assert (expected in LINEAR) == (expected in ("attention", "mlp", "expert", "linear"))


# Recipes that people write

OWN = """\
schema: assay.recipe.v1
name: fp8-but-down
base: FP8_DYNAMIC
ignore: ["*.down_proj"]
options: {smoothing: 0.5}
expected: [router_aux_loss_coef]
"""


def test_a_recipe_from_a_file(tmp_path):
    (tmp_path / "r.yaml").write_text(OWN)
    recipe = load(tmp_path / "r.yaml")
    assert (recipe.name, recipe.quantizer, recipe.scheme) == ("fp8-but-down", "llmcompressor", "FP8_DYNAMIC")
    assert not recipe.allows("model.layers.0.mlp.down_proj", "mlp")
    assert recipe.wants("model.layers.0.mlp.up_proj", "mlp")
    assert "role:head" in recipe.ignore
    assert recipe.options == {"smoothing": 0.5}
    assert recipe.to_json()["digest"] != RECIPES["FP8_DYNAMIC"].to_json()["digest"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("base: FP8_DYNAMIC", "base: FP8_DYNAMICS", "r.yaml:3: base: no recipe 'FP8_DYNAMICS'"),
        ("ignore:", "ignores:", "r.yaml:4: ignores: unknown key"),
        ("name: fp8-but-down", "name: Q4_0", "is a built-in recipe"),
        ('"*.down_proj"', '"role:gate"', "no role 'gate'"),
        ('["*.down_proj"]', "7", "ignore"),
        ("expected: [", "targets: []\nexpected: [", "quantizes nothing"),
        ("expected: [", "band: [5, 4]\nexpected: [", "the lowest before the highest"),
        ("expected: [", "band: [.nan, 4]\nexpected: [", ".nan is not a finite number"),
        ("expected: [", "bits: 0\nexpected: [", "bits"),
    ],
)
def test_what_is_wrong_with_one_is_said_by_line(tmp_path, old, new, message):
    (tmp_path / "r.yaml").write_text(OWN.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "r.yaml")
    assert message in str(caught.value)


def test_the_page_has_every_recipe():
    page = (Path(__file__).parents[1] / "docs" / "checkpoints.md").read_text()
    suffixes = tuple(f"-{suffix}" for suffix in VARIANTS)
    for recipe in RECIPES.values():
        low, high = recipe.band
        start = f"| `{recipe.name}` | {recipe.quantizer} | {', '.join(recipe.own)} |"
        row = f"{start} {recipe.bits:g} | {low:g} to {high:g} |"
        assert recipe.name.endswith(suffixes) or row in page
