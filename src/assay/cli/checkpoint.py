"""`assay checkpoint`: what a checkpoint holds, read from its own headers."""

from __future__ import annotations

import click

from assay.cli.checkpoint_inspect import inspect
from assay.cli.checkpoint_quantize import quantize, recipes


@click.group("checkpoint", short_help="Look into checkpoints, and make quantized ones.")
def checkpoint() -> None:
    """Look into checkpoints, and make quantized ones.

    \b
        assay checkpoint inspect SmolLM2-135M-Instruct.Q4_1.gguf
        assay checkpoint inspect checkpoints/llama-fp8 --json
        assay checkpoint recipes smollm2-135m
        assay checkpoint quantize smollm2-135m --recipe Q8_0 --out models/smollm2-q8_0.gguf
    """


checkpoint.add_command(inspect)
checkpoint.add_command(quantize)
checkpoint.add_command(recipes)
