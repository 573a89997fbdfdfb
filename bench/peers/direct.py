"""SmolLM2 through xllamacpp alone: the same prompts, slots and threads, nothing kept. Prints tokens and seconds.

`same`: loaded as assay loads it, a cache a slot and no flash attention; `default`: as xllamacpp does by itself.

python direct.py same|default MODEL.gguf PROMPTS.jsonl SLOTS CONTEXT THREADS MAX_TOKENS
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xllamacpp


def serve(kind: str, model: str, slots: int, context: int, threads: int) -> Any:
    """The model, loaded, with `context` tokens for each of its slots."""
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel = slots
    params.n_ctx = context * slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.verbosity = -1
    if kind == "same":
        params.kv_unified = False
        params.flash_attn_type = xllamacpp.llama_flash_attn_type(0)
        params.cache_ram_mib = 0
    return xllamacpp.Server(params)


def main(kind: str, model: str, prompts: str, slots: int, context: int, threads: int, max_tokens: int) -> None:
    """Answer every prompt, as many at once as there are slots."""
    server = serve(kind, model, slots, context, threads)
    texts = [json.loads(line)["input"] for line in Path(prompts).read_text().splitlines()]

    def ask(text: str) -> int:
        messages = [{"role": "user", "content": text}]
        body = {"messages": messages, "max_tokens": max_tokens, "temperature": 0, "cache_prompt": False}
        return int(server.handle_chat_completions(body)["usage"]["completion_tokens"])

    ask("Hello")
    begun = time.perf_counter()
    with ThreadPoolExecutor(slots) as pool:
        tokens = sum(pool.map(ask, texts))
    seconds = time.perf_counter() - begun
    print(json.dumps({"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds}))


if __name__ == "__main__":
    kind, model, prompts, *numbers = sys.argv[1:]
    main(kind, model, prompts, *map(int, numbers))
