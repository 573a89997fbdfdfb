"""Commands of other programs: logged, timed, and never left behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from assay.errors import MachineError
from assay.release.child import run, tail

SLEEPER = "import os, subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); \
print(p.pid, flush=True); p.wait()"


def gone(pid):
    """Whether a process has ended, waited for."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def child_of(log):
    for _ in range(200):
        if log.exists() and (text := log.read_text()).strip():
            return int(text.split()[0])
        time.sleep(0.05)
    raise AssertionError("it did not start")


def test_output_goes_to_the_log_and_the_last_line_is_what_went_wrong(tmp_path):
    log = tmp_path / "log"
    assert run([sys.executable, "-c", "print('one')"], log, "a thing", layer="x") > 0
    command = [sys.executable, "-c", "import sys; print('two'); sys.exit('three\\nfour')"]
    with pytest.raises(MachineError, match=r"a thing ended with 1: two\nthree\nfour"):
        run(command, log, "a thing", layer="x")
    assert log.read_text().startswith("one\n")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_time_limit_ends_the_whole_group(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(MachineError, match="took longer than 1 s"):
        run([sys.executable, "-c", SLEEPER], log, "a thing", layer="x", timeout_s=1)
    assert gone(child_of(log))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_killed_asker(tmp_path, number):
    log = tmp_path / "log"
    code = "import sys; from pathlib import Path; from assay.release.child import run; \
run([sys.executable, '-c', sys.argv[1]], Path(sys.argv[2]), 'x', layer='x')"
    asker = subprocess.Popen([sys.executable, "-c", code, SLEEPER, str(log)], stderr=subprocess.DEVNULL)
    child = child_of(log)
    asker.send_signal(number)
    asker.wait()
    assert gone(child)


def test_progress_is_the_last_line(tmp_path):
    said = []
    code = "import time; print('step 1', flush=True); time.sleep(4)"
    run([sys.executable, "-c", code], tmp_path / "log", "work", layer="x", progress=lambda text, _: said.append(text))
    assert said == ["work: step 1"]


def test_a_tail_has_no_controls_and_no_old_states(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"\n10%\r50%\r100%\n\x1b[31mred\x1b[0m\n\n\xff\n")
    assert tail(log) == "100%\n[31mred[0m\n\ufffd"
