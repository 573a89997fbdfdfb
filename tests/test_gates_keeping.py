"""Modules that are kept at a wider type: which they are, and what the gate then wants to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.errors import ConfigError
from assay.gates import recipe_file
from assay.gates.checkpoint import CheckpointView
from assay.gates.keeping import Keeping, varied, wrong
from assay.gates.ptq import ptq
from assay.gates.recipe import RECIPES, Recipe
from assay.release.checkpoint import view
from assay.release.stages.quantize import recipe_of
from support.checkpoints import gguf, numbers

BLOCKS = 4
PARTS = ("ffn_down", "attn_v")
FFN, ATTN = (64, 32), (32, 32)
Q4 = RECIPES["Q4_0"]


def tiny(path: Path, kind: Callable[[str], str], code: int) -> CheckpointView:
    """A model of four blocks with two matrices each; `kind` says the type of each layer."""
    shapes = {f"blk.{n}.{part}": FFN if part == "ffn_down" else ATTN for n in range(BLOCKS) for part in PARTS}
    tensors = {"token_embd.weight": ("F16", (64, 32), numbers("F16", (64, 32)))}
    for name, shape in shapes.items():
        dtype = kind(name)
        tensors[f"{name}.weight"] = (dtype, shape, blocks(dtype, shape))
    general = {"general.architecture": "llama", "general.file_type": code, "llama.block_count": BLOCKS}
    return view(gguf(path, {**general, "llama.context_length": 64}, tensors))


def blocks(dtype: str, shape: tuple[int, int]) -> bytes:
    """Bytes of a tensor with scales that are not zero."""
    if dtype == "F16":
        return numbers("F16", shape)
    width = {"Q8_0": 34, "Q4_0": 18}[dtype]
    return (b"\x00\x3c" + b"\x11" * (width - 2)) * (shape[0] * shape[1] // 32)


@pytest.fixture
def half(tmp_path: Path) -> CheckpointView:
    return tiny(tmp_path / "f16.gguf", lambda name: "F16", 1)


def names(recipe: Recipe) -> list[str]:
    layers = {f"blk.{n}.{part}": "mlp" if part == "ffn_down" else "attention" for n in range(BLOCKS) for part in PARTS}
    keeping = Keeping.of(recipe, layers)
    return [name for name, role in layers.items() if keeping.type(name, role)]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("*.ffn_down", {f"blk.{n}.ffn_down" for n in range(BLOCKS)}),
        ("role:attention@first:1", {"blk.0.attn_v"}),
        ("Linear@last:2", {f"blk.{n}.{part}" for n in (2, 3) for part in PARTS}),
        ("*.attn_v@last:99", {f"blk.{n}.attn_v" for n in range(BLOCKS)}),
        ("role:router", set()),
    ],
)
def test_which_layers_a_choice_is_of(pattern: str, kept: set[str]) -> None:
    assert set(names(varied(Q4, {pattern: "Q8_0"}))) == kept


def test_the_widest_of_several_choices_holds() -> None:
    recipe = varied(Q4, {"Linear": "Q5_1", "*.ffn_down": "Q8_0", "*.ffn_down@first:1": "Q5_0"})
    keeping = Keeping.of(recipe, [f"blk.{n}.ffn_down" for n in range(BLOCKS)])
    assert keeping.type("blk.0.ffn_down", "mlp") == "Q8_0"
    assert keeping.type("blk.0.attn_v", "attention") == "Q5_1"


def test_a_variant_is_held_to_its_own_types_and_band(half: CheckpointView, tmp_path: Path) -> None:
    recipe = varied(Q4, {"*.ffn_down": "Q8_0"}, "Q4_0-keep-ffn_down")
    sound = tiny(tmp_path / "a.gguf", lambda name: "Q8_0" if "ffn_down" in name else "Q4_0", 2)
    found = ptq(half, sound, recipe)
    assert found.reasons[0].endswith("kept: Q8_0 4")
    assert (found.verdict, found.numbers["types"], found.numbers["kept"]) == ("PASS", {"Q4_0": 4}, {"Q8_0": 4})
    assert found.numbers["linear_bits"] == pytest.approx((2 * 8.5 + 4.5) / 3)
    assert found.numbers["linear_ratio_band"]["nominal"] == pytest.approx((2 * 8.5 + 4.5) / 3 / 16)
    assert found.numbers["fallbacks"] == {}
    assert ptq(half, sound, "Q4_0").verdict == "FAIL"


def test_a_file_without_what_should_be_kept_fails_and_so_does_one_with_more(
    half: CheckpointView, tmp_path: Path
) -> None:
    recipe = varied(Q4, {"*.ffn_down@first:2": "Q8_0"})
    plain = ptq(half, tiny(tmp_path / "plain.gguf", lambda _: "Q4_0", 2), recipe)
    assert (plain.failure_class, "2 of 8 targeted layers" in " ".join(plain.reasons)) == (
        "QUANT_COVERAGE_FAILURE",
        True,
    )
    more = ptq(half, tiny(tmp_path / "more.gguf", lambda n: "Q8_0" if "down" in n else "Q4_0", 2), recipe)
    assert {check.name for check in more.checks if not check.ok} == {"linear_bits"}


def test_a_choice_of_no_layer_does_not_fit_the_model(half: CheckpointView, tmp_path: Path) -> None:
    recipe = varied(Q4, {"*.ffn_down": "Q8_0", "role:expert": "Q8_0"})
    found = ptq(half, tiny(tmp_path / "a.gguf", lambda n: "Q8_0" if "down" in n else "Q4_0", 2), recipe)
    assert (found.verdict, found.failure_class) == ("INFEASIBLE", "MODEL_UNSUPPORTED")
    assert "role:expert" in found.reasons[0]


@pytest.mark.parametrize(
    ("base", "keep", "said"),
    [
        ("Q8_0", {"*": "Q4_0"}, "Q4_0 takes 4.5 bits"),
        ("Q8_0", {"*": "Q8_0"}, "8.5 as it is"),
        ("Q4_0", {"*": "Q6_K"}, "no type to keep"),
        ("Q4_0", {"role:hand": "Q8_0"}, "no role"),
        ("Q4_0", {"*@middle:2": "Q8_0"}, "no pattern"),
        ("Q4_0", {"*@first:0": "Q8_0"}, "no pattern"),
        ("Q4_0", {"": "Q8_0"}, "no pattern"),
        ("FP8_DYNAMIC", {"*.down_proj": "F16"}, "ignore"),
    ],
)
def test_what_cannot_be_kept_is_refused(base: str, keep: dict[str, str], said: str) -> None:
    assert said in wrong(RECIPES[base], keep)[0].message
    with pytest.raises(ConfigError):
        varied(RECIPES[base], keep)


def test_a_variant_has_a_digest_of_its_own_and_comes_back_from_its_document() -> None:
    recipe = varied(Q4, {"b*": "Q8_0", "a*": "F16"}, "mine")
    assert recipe_of(recipe.to_json()) == recipe
    assert recipe.to_json()["digest"] == varied(Q4, {"a*": "F16", "b*": "Q8_0"}, "mine").to_json()["digest"]
    assert "keep" not in Q4.to_json()


def test_a_recipe_of_ones_own_can_keep_modules(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('schema: assay.recipe.v1\nname: q4-but-down\nbase: Q4_0\nkeep: {"*.ffn_down": Q8_0}\n')
    assert dict(recipe_file.load(path).keep) == {"*.ffn_down": "Q8_0"}
    path.write_text('schema: assay.recipe.v1\nname: q4-but-down\nbase: Q4_0\nkeep:\n  "*.ffn_down": Q9\n')
    with pytest.raises(ConfigError, match="Q9") as caught:
        recipe_file.load(path)
    assert caught.value.problems[0].line == 5
