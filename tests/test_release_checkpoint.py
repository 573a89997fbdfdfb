"""Reading checkpoints: what they hold, and that no file, however broken or hostile, does more than be refused."""

from __future__ import annotations

import json
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import AssayError, ConfigError, EvidenceError, ModelUnavailable
from assay.gates.checkpoint import from_json
from assay.models.safetensors_header import read_header
from assay.release.checkpoint import inspect, view
from support.checkpoints import (
    CONFIG,
    LINEAR,
    candidate,
    gguf,
    large,
    large_gguf,
    many,
    numbers,
    quantized,
    safetensors,
    source,
)


def test_a_folder(tmp_path):
    found = inspect(candidate(tmp_path / "made", "FP8_DYNAMIC"))
    assert (found.format, found.architecture, found.shards.files) == ("safetensors", "LlamaForCausalLM", 1)
    assert found.total_bytes == (tmp_path / "made" / "model.safetensors").stat().st_size
    assert found.types()[0] == ("mlp", "F8_E4M3", 6, 6 * 64 * 128)
    rows = 2 * (2 * 64 + 2 * 32 + 2 * 128 + 64)  # of q, o; k, v; gate, up; down, in two layers
    assert found.linear_bytes == 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128) + 2 * rows
    assert found.declared == {
        "method": "compressed-tensors", "scheme": "x", "numbers": ["float8"], "groups": [], "ignore": ["lm_head"],
    }  # fmt: skip
    document = found.to_json()
    assert document["schema"] == "assay.checkpoint.v1"
    assert {one["role"] for one in document["tensors"]} == {"attention", "mlp", "scale", "norm", "embedding"}


def test_one_file_by_itself(tmp_path):
    found = inspect(safetensors(tmp_path / "a.safetensors", {"x.weight": ("F32", (2, 3), numbers("F32", (2, 3)))}))
    (tensor,) = found.tensors
    assert (tensor.name, tensor.dtype, tensor.shape, tensor.bytes) == ("x.weight", "F32", (2, 3), 24)
    assert (tensor.file, tensor.offset + 24, found.architecture) == ("a.safetensors", found.total_bytes, "unknown")


def test_gguf_shapes_are_slowest_first(tmp_path):
    data = numbers("F16", (4, 2))
    path = gguf(tmp_path / "a.gguf", {"general.architecture": "toy"}, {"blk.0.attn_q.weight": ("F16", (4, 2), data)})
    (tensor,) = inspect(path).tensors
    assert (tensor.shape, tensor.role) == ((4, 2), "attention")
    assert path.read_bytes()[tensor.offset : tensor.offset + 16] == data


def test_modelopt_says_it_in_a_file_of_its_own(tmp_path):
    folder = source(tmp_path / "made")
    said = {"quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head"]}}
    (folder / "hf_quant_config.json").write_text(json.dumps(said))
    assert inspect(folder).declared == {
        "method": "modelopt", "scheme": "NVFP4", "numbers": ["float4"], "groups": [16], "ignore": ["lm_head"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, ["float8"]),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, ["int4"]),
        ({"quant_method": "modelopt", "quant_algo": "W4A16_AWQ"}, ["int4"]),
        (
            {"quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": {"quant_algo": "FP8"}, "b": 3}},
            ["None", "float8"],
        ),
        ({"quant_method": "x", "config_groups": [], "ignore": "y"}, []),
        ({"config_groups": {"a": {"weights": {"type": ["float"], "num_bits": None}}}}, ["['float']None"]),
    ],
)
def test_other_declarations(tmp_path, said, numbers):
    declared = inspect(source(tmp_path / "made", quantization_config=said)).declared
    assert declared is not None
    assert declared["numbers"] == numbers


# What is wrong and can be read all the same


def sharded(folder: Path) -> Path:
    """The tiny model in two shards and an index."""
    source(folder)
    (folder / "model.safetensors").unlink()
    names = [f"{name}.weight" for name in LINEAR]
    for number, held in enumerate((names[:7], names[7:]), 1):
        tensors = {name: ("BF16", (2, 2), numbers("BF16", (2, 2))) for name in held}
        safetensors(folder / f"model-{number:05}-of-00002.safetensors", tensors)
    files = {name: f"model-{1 + (place >= 7):05}-of-00002.safetensors" for place, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return folder


def reindexed(folder: Path, change) -> tuple[str, ...]:
    path = folder / "model.safetensors.index.json"
    value = json.loads(path.read_text())
    change(value["weight_map"])
    path.write_text(json.dumps(value))
    return inspect(folder).faults


def test_the_index_against_the_shards(tmp_path):
    folder = sharded(tmp_path / "made")
    assert inspect(folder).faults == ()
    first = f"{LINEAR[0]}.weight"
    assert (
        "1 tensors are in another shard"
        in reindexed(folder, lambda files: files.update({first: "model-00002-of-00002.safetensors"}))[0]
    )
    assert "1 tensors are in a shard and not in the index" in reindexed(folder, lambda files: files.pop(first))[0]
    assert (
        "in the index and in no shard"
        in reindexed(folder, lambda files: files.update(nothing="model-00001-of-00002.safetensors"))[0]
    )


def test_missing_and_extra_shards(tmp_path):
    folder = sharded(tmp_path / "made")
    safetensors(folder / "old.safetensors", {})
    (folder / "model-00002-of-00002.safetensors").unlink()
    found = inspect(folder)
    assert found.shards.missing == ("model-00002-of-00002.safetensors",)
    assert found.shards.extra == ("old.safetensors",)
    assert len(found.tensors) == 7


def test_shards_without_an_index(tmp_path):
    folder = sharded(tmp_path / "made")
    (folder / "model.safetensors.index.json").unlink()
    assert inspect(folder).faults == ("2 files of weights and no model.safetensors.index.json",)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert inspect(folder).faults == ("1 of 2 shards are there",)
    double = safetensors(folder / "b.safetensors", {f"{LINEAR[0]}.weight": ("BF16", (1,), b"ab")})
    assert any("are in two files" in fault for fault in inspect(folder).faults), double


# What is refused


def refused(path: Path) -> str:
    with pytest.raises(EvidenceError) as caught:
        inspect(path)
    assert caught.value.exit_code == 1
    return caught.value.message


def test_pickles_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "opened"),))

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    assert "pytorch_model.bin" in refused(folder)
    assert "runs code when it is loaded" in refused(folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    assert "a header of" in refused(folder)
    safetensors(folder / "model.safetensors", {"a.weight": ("BF16", (1,), b"ab")})
    (folder / "training_args.bin").write_bytes(pickle.dumps(Trap()))
    assert inspect(folder).unread == ("training_args.bin",)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}', "has 8 bytes"),
        ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}', "impossible offsets"),
        ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}', "impossible offsets"),
        ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4.0]}}', "impossible offsets"),
        ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, NaN]}}', "NaN is no number"),
        ('{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 4]}}', "Infinity is no number"),
        ('{"a": {"dtype": "F32", "shape": [1e3], "data_offsets": [0, 4]}}', "impossible shape"),
        ('{"a": {"dtype": "F32", "shape": [9999999999999999999999], "data_offsets": [0, 4]}}', "impossible shape"),
        ('{"a": {"dtype": "F32", "shape": [1000000000, 1000000000], "data_offsets": [0, 4]}}', "impossible shape"),
        ('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}', "no data_offsets"),
        ('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', "the file is cut"),
        ('{"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 1]}}', "too long"),
        ('{"a": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}}', "begins 2 bytes after"),
        ('{"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},'
         ' "b": {"dtype": "U8", "shape": [3], "data_offsets": [1, 4]}}', "overlap"),
        ('{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},'
         ' "b": {"dtype": "U8", "shape": [1], "data_offsets": [3, 4]}}', "gap"),
        ('{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},'
         ' "a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}', "'a' appears twice"),
        ('{"__metadata__": {"a": 1}}', "__metadata__"),
        ('{"\\ud800": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}', "impossible name"),
        ('{"a": {"dtype": "\\udfff", "shape": [4], "data_offsets": [0, 4]}}', "impossible name"),
        ('{"\\ud800": 1, "\\ud800": 2}', "appears twice"),
        ("[" * 100_000, "not JSON"),
        ('{"a": ' * 50_000, "not JSON"),
        ("{" + ",".join(f'"{n}": [' for n in range(9)) * 200_000, "more than"),
    ],
)  # fmt: skip
def test_hostile_headers(tmp_path, header, reason):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(4))
    assert reason in refused(path)


def test_a_header_that_claims_to_be_huge(tmp_path):
    path = tmp_path / "x.safetensors"
    for length in (2**63, 2**64 - 1, 100_000_001, 12):
        path.write_bytes(struct.pack("<Q", length) + b"{}")
        assert "a header of" in refused(path)


@pytest.mark.parametrize("file", ["../b.safetensors", "/etc/passwd", "a/b.safetensors", "..", 7, "x.bin"])
def test_an_index_that_leads_out_of_the_folder(tmp_path, file):
    folder = sharded(tmp_path / "made")
    with pytest.raises(EvidenceError, match="is said to be in"):
        reindexed(folder, lambda files: files.update(a=file))


def test_links_out_of_the_folder(tmp_path):
    folder = source(tmp_path / "made")
    (tmp_path / "secret.json").write_text('{"a": 1}')
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").symlink_to(tmp_path / "secret.json")
    assert "a link out of the checkpoint's folder" in refused(folder)
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").symlink_to(folder / "generation_config.json")
    assert "cannot be followed" in refused(folder)
    (folder / "generation_config.json").unlink()
    (folder / "model.safetensors").rename(tmp_path / "w.safetensors")
    (folder / "model.safetensors").symlink_to(tmp_path / "w.safetensors")
    assert "a link out of the checkpoint's folder" in refused(folder)


def test_the_links_of_a_hubs_cache(tmp_path):
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "abc"
    made = source(tmp_path / "made")
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in made.iterdir():
        path.rename(blobs / f"sha-{path.name}")
        (snapshot / path.name).symlink_to(f"../../blobs/sha-{path.name}")
    assert len(inspect(snapshot).tensors) == 20
    assert view(snapshot).state == "read"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    folder = source(tmp_path / "made")
    (folder / "generation_config.json").unlink()
    os.mkfifo(folder / "generation_config.json")
    assert "not a file" in refused(folder)
    with pytest.raises(ConfigError):
        inspect(folder / "generation_config.json")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", "[1]", "not a JSON object"),
        ("config.json", "{", "not JSON"),
        ("config.json", '{"a": "\\ud800"}', "not JSON"),
        ("config.json", '{"a": ' * 300 + "1" + "}" * 300, "nested deeper"),
        ("config.json", "[" * 200_000, "not JSON"),
        ("config.json", '{"a": "' + "x" * (8 << 20) + '"}', "larger than"),
        ("model.safetensors.index.json", "[]", "not a JSON object"),
    ],
)
def test_small_files_are_not_believed_either(tmp_path, name, content, reason):
    folder = source(tmp_path / "made")
    (folder / name).write_text(content)
    assert reason in refused(folder)


@pytest.mark.parametrize("content", ["3", '{"model": 7}', '{"model": {"merges": [[1, 2]]}}', "[" * 9999])
def test_a_strange_tokenizer_is_at_most_refused(tmp_path, content):
    folder = source(tmp_path / "made")
    (folder / "tokenizer.json").write_text(content)
    assert view(folder).state in ("read", "broken")


def test_numbers_that_are_none_in_a_configuration(tmp_path):
    folder = source(tmp_path / "made")
    text = '{"time_step_limit": [0.0, Infinity], "scale": NaN, "large": 1e999, "ids": [-9223372036854775809]}'
    (folder / "config.json").write_text(text)
    found = view(folder)
    assert found.metadata["config"] == {
        "time_step_limit": '[0.0,"Infinity"]', "scale": "NaN", "large": "inf", "ids": "[-9223372036854775809]",
    }  # fmt: skip
    assert from_json(found.to_json()) == found


def test_gguf_files_that_are_refused(tmp_path):
    data = numbers("F16", (32,))
    path = gguf(tmp_path / "x.gguf", {"a": 1.0}, {"one": ("F16", (32,), data), "two": ("F16", (32,), data)})
    whole = path.read_bytes()
    at = whole.index(b"two") + 3 + 4 + 8 + 4  # its offset: after dimensions, one length and a type
    for content, reason in (
        (whole[:at] + struct.pack("<Q", 32) + whole[at + 8 :], "overlap"),
        (whole[:at] + struct.pack("<Q", 2**64 - 64) + whole[at + 8 :], "the file is cut"),
        (whole.replace(b"two", b"one"), "same name"),
        (whole[:-1], "the file is cut"),
        (whole[:40], "ends inside its header"),
    ):
        path.write_bytes(content)
        assert reason in refused(path)


def test_no_folder_no_file_no_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint"):
        inspect(tmp_path / "none")
    assert r"no *.safetensors file" in refused(tmp_path)
    (tmp_path / "x.gguf").write_bytes(b"GGUX" + bytes(99))
    assert "x.gguf" in refused(tmp_path / "x.gguf")


# Damage of every kind


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("damage")


FILES: dict[str, bytes] = {}


def whole(place: Path, kind: str) -> bytes:
    if kind not in FILES:
        keys: dict[str, Any] = {
            "general.architecture": "toy",
            "general.file_type": 7,
            "tokenizer.chat_template": "x" * 99,
        }
        data = b"\x00\x3c" * 17
        gguf(
            place / "whole",
            {**keys, "tokenizer.ggml.tokens": ["a", "b"]},
            {"blk.0.attn_q.weight": ("Q8_0", (1, 32), data)},
        )
        FILES["gguf"] = (place / "whole").read_bytes()
        tensors = {name: one for name, one in quantized("FP8_DYNAMIC").items() if "layers.0.self_attn.k" in name}
        FILES["safetensors"] = safetensors(place / "whole", tensors).read_bytes()
    return FILES[kind]


@given(st.sampled_from(["gguf", "safetensors"]), st.data())
def test_no_damage_does_more_than_be_refused(place, kind, data):
    content = bytearray(whole(place, kind))
    header = 400 if kind == "gguf" else 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(header, len(content) - 1)))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    path = place / f"broken.{kind}"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content))
    tracemalloc.start()
    try:
        found = inspect(path)
        seen = view(path, hashed=False)
        assert all(0 <= one.offset <= one.offset + (one.bytes or 0) <= path.stat().st_size for one in found.tensors)
        assert seen.state in ("read", "broken")
        assert from_json(seen.to_json()).tensors == seen.tensors
    except EvidenceError:
        pass
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 16 << 20


@given(st.sampled_from(["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json"]),
       st.one_of(st.binary(max_size=60), st.recursive(
           st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(-(2**70), 2**70),
           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
               st.sampled_from(["model", "merges", "vocab", "added_tokens", "content", "id", "eos_token",
                                "eos_token_id",
                                "quantization_config", "config_groups", "weights", "ignore", "weight_map", "rope_theta",
                                "added_tokens_decoder", "architectures", "1"]), inner, max_size=4),
       ).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_nor_do_strange_small_files(place, name, content):
    folder = place / "folder"
    if not folder.exists():
        source(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / name).write_bytes(content)
    try:
        seen = view(folder, hashed=False, samples=False)
        assert from_json(seen.to_json()) == seen
    finally:
        for path in list(folder.iterdir()):
            path.unlink()
        for file, data in before.items():
            (folder / file).write_bytes(data)


# Large ones: the data are holes


def test_seventy_gigabytes(tmp_path):
    found = inspect(large(tmp_path / "model"))
    assert found.total_bytes > 70e9
    assert len(found.tensors) == 1283
    seen = view(tmp_path / "model", hashed=False)
    assert seen.state == "read"
    assert sum(one.looked for one in seen.samples) > 1_000_000
    assert all(one.zero == one.looked for one in seen.samples)


@pytest.mark.slow
def test_seventy_gigabytes_of_gguf_and_a_hundred_thousand_tensors(tmp_path):
    found = inspect(large_gguf(tmp_path / "model.gguf"))
    assert (found.total_bytes > 70e9, len(found.tensors)) == (True, 723)
    experts = inspect(many(tmp_path / "experts"))
    assert {row[0] for row in experts.types()} == {"expert", "scale"}
    assert len(experts.tensors) == 93_696


def test_headers_agree_with_the_library(tmp_path):
    """Ours and the format's own reader see the same tensors."""
    library = pytest.importorskip("safetensors", reason="needs the extra `hf`")
    path = safetensors(tmp_path / "x.safetensors", quantized("NVFP4A16"))
    with library.safe_open(path, "numpy") as opened:
        assert sorted(opened.keys()) == sorted(one.name for one in read_header(path).tensors)


@pytest.mark.local
def test_the_real_models_file():
    from assay.models.named import SMOLLM2_135M

    path = SMOLLM2_135M.source.fetch()
    found = inspect(path)
    assert found.types() == [
        ("mlp", "Q4_1", 90, 49_766_400), ("embedding", "Q8_0", 1, 30_081_024),
        ("attention", "Q4_1", 120, 16_588_800), ("norm", "F32", 61, 140_544),
    ]  # fmt: skip
    assert found.declared == {"method": "gguf", "scheme": "Q4_1"}
    seen = view(path)
    assert seen.digest == SMOLLM2_135M.source.sha256
    scales = [one for one in seen.samples if one.scales]
    assert len(scales) == 211
    assert sum(one.zero + one.broken for one in scales) == 0


def test_errors_of_the_machine_stay_its_own(tmp_path, monkeypatch):
    path = safetensors(tmp_path / "x.safetensors", {})

    def no(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", no)
    with pytest.raises(ModelUnavailable, match="errno 5") as caught:
        inspect(path)
    assert isinstance(caught.value, AssayError)
    assert caught.value.exit_code == 6
