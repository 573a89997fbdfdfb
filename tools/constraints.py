"""Writes constraints.txt anew: every package of every extra and group, with its version and hashes.

uv resolves for Python 3.11 and newer and for every platform at once; it lives in an environment of its own,
made for this and removed. torch is left out (see tools/environment.py), as is the extra `ptq`, whose pins
conflict with the others'.

    python tools/constraints.py
"""
# ruff: noqa: S603

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from environment import BUILD, TORCH_NEEDS, UNHASHED  # noqa: E402

LEFT_OUT = {"all", "ptq"}
PIN = re.compile(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( ; [^/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
HEADER = """\
# The versions that assay is tested with, and the hashes of their files. Written by `make constraints`.
# Installed by `make` (tools/environment.py). Names no index: packages come from wherever pip is told to look.
# Not here: torch, whose builds differ by machine (see tools/environment.py).
"""


def resolve(folder: Path) -> str:
    """What uv finds, as text."""
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [f"--extra={name}" for name in project["optional-dependencies"] if name not in LEFT_OUT]
    never = folder / "never.txt"
    never.write_text("".join(f'{name} ; python_version < "3"\n' for name in UNHASHED))
    command = [
        python,
        "-m",
        "uv",
        "pip",
        "compile",
        "--universal",
        "--python-version=3.11",
        "--generate-hashes",
    ]
    command += ["--quiet", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    command += [*extras, "--group=dev", f"--override={never}", "pyproject.toml", "-"]
    further = "\n".join(("pip", *BUILD, *TORCH_NEEDS))
    return subprocess.run(command, check=True, cwd=ROOT, input=further, text=True, stdout=subprocess.PIPE).stdout


def main() -> int:
    """Resolve, check that no host and no path slipped in, write."""
    with tempfile.TemporaryDirectory() as folder:
        text = resolve(Path(folder))
    for line in text.splitlines():
        if not PIN.fullmatch(line):
            raise SystemExit(f"not a pin: {line!r}")
    (ROOT / "constraints.txt").write_text(HEADER + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
