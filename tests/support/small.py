"""SmolLM2 cut down to what quantizing takes a second of: three layers of thirty, and a vocabulary of 2,048."""

from __future__ import annotations

from pathlib import Path

LAYERS, WORDS = 3, 2048
_COUNTED = {"llama.block_count": LAYERS, "llama.vocab_size": WORDS}
_LISTS = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges")


def small(source: Path, out: Path) -> Path:
    """Write the first layers and words of a GGUF file in 16 bits: its own numbers. No server loads it."""
    from gguf import GGUFReader, GGUFWriter

    reader = GGUFReader(source)
    writer = GGUFWriter(out, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        found = field.contents()
        found = found[:WORDS] if field.name in _LISTS else _COUNTED.get(field.name, found)
        kinds = field.types
        writer.add_key_value(field.name, found, kinds[0], sub_type=kinds[-1] if len(kinds) > 1 else None)
    for tensor in reader.tensors:
        parts = tensor.name.split(".")
        if parts[0] != "blk" or int(parts[1]) < LAYERS:
            writer.add_tensor(tensor.name, tensor.data[:WORDS] if tensor.name == "token_embd.weight" else tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
