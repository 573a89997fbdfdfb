"""The program that serves one GGUF file: `python -m assay.release.deployers.llamacpp_server CONFIG.json`.

Loaded as the backend `llamacpp:` does, but with llama.cpp's warnings and errors on stderr, for the log.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import orjson

from assay.errors import ModelUnavailable
from assay.models.llama_server import LlamaServer, Settings

_WARNINGS = 2
"""llama.cpp's verbosity: errors and warnings. At 3 it writes six lines a request."""


class OwnServer(LlamaServer):
    """The same server on a given port, under a given key and name, and with its warnings."""

    def __init__(self, config: dict[str, Any]) -> None:
        settings = Settings(config["slots"], config["context"], config["threads"], config["gpu_layers"])
        super().__init__(Path(config["model"]), settings)
        self._secret = Path(config["key_file"]).read_text()
        self._port, self._alias = config["port"], config["alias"]

    def _close_up(self, wanted: Any) -> None:
        super()._close_up(wanted)
        wanted.verbosity = _WARNINGS
        wanted.port = self._port
        wanted.model_alias = {self._alias}

    def run(self) -> None:
        """Load, and serve until the process is ended."""
        self._load()
        threading.Event().wait()


def main(path: str) -> int:
    """The exit code: 0 never comes back, 1 says why on stderr."""
    try:
        OwnServer(orjson.loads(Path(path).read_bytes())).run()
    except ModelUnavailable as error:
        sys.stderr.write(f"{error.message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
