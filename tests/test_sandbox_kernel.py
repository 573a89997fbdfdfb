from __future__ import annotations

import errno
import os
import signal

import pytest

from assay.sandbox import kernel, syscalls
from assay.sandbox.kernel import LayerError, layer
from support.identities import EVERYONE, as_user

pytestmark = pytest.mark.skipif(not syscalls.NUMBERS, reason="the system calls of this machine are not known")


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", {"read": 0, "mount": 165, "openat": 257, "seccomp": 317, "rseq": 334, "clone3": 435}),
        ("aarch64", {"io_setup": 0, "mount": 40, "openat": 56, "wait4": 260, "seccomp": 277, "clone3": 435}),
    ],
)
def test_numbers_are_the_kernels(machine: str, expected: dict[str, int]):
    numbers = syscalls.numbers_of(machine)
    assert {name: numbers[name] for name in expected} == expected
    assert len(set(numbers.values())) == len(numbers)


def test_a_machine_that_is_not_known_has_none():
    assert syscalls.numbers_of("riscv64") == {}


def test_a_call_returns_its_result_or_raises_its_errno():
    assert kernel.call("getpid") == os.getpid()
    with pytest.raises(OSError, match="close_range") as caught:
        kernel.call("close_range", 2, 1)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="no_such_call") as caught:
        kernel.call("no_such_call")
    assert caught.value.errno == errno.ENOSYS


def test_a_layer_names_itself_and_the_errno_and_lets_other_errors_be():
    with pytest.raises(LayerError) as caught, layer("root view"):
        kernel.umount("/no such folder")
    assert (caught.value.layer, caught.value.errno) == ("root view", errno.ENOENT)
    with pytest.raises(ValueError, match="other"), layer("root view"):
        raise ValueError("other")


def test_every_descriptor_but_those_kept_is_closed():
    code = """
import os
from assay.sandbox import kernel
kept = [os.dup(1) for _ in range(6)]
kernel.close_all_but((1, kept[4], kept[1], kept[1]))
found = []
for descriptor in range(64):
    try:
        os.fstat(descriptor)
    except OSError:
        continue
    found.append(descriptor)
os.write(1, repr(found == [1, kept[1], kept[4]]).encode())
"""
    assert as_user(os.geteuid(), code).stdout == "True"


@EVERYONE
def test_capabilities_are_gone_for_good(uid: int):
    code = """
import os
from assay.sandbox import kernel
kernel.drop_capabilities()
kernel.no_new_privileges()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(kernel.effective_capabilities(), *(int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")))
print(int(status["CapBnd"], 16) if os.geteuid() == 0 else 0, status["NoNewPrivs"].strip())
try:
    os.setresuid(12345, 12345, 12345)
except PermissionError:
    print("no other user")
"""
    done = as_user(uid, code)
    assert done.stdout.splitlines() == ["0 0 0 0 0", "0 1", "no other user"], done.stderr


def test_the_end_of_a_process_is_seen():
    child = os.fork()
    if child == 0:
        signal.pause()
    descriptor = kernel.pidfd_open(child)
    os.kill(child, signal.SIGKILL)
    assert os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
    os.close(descriptor)
    with pytest.raises(ProcessLookupError):
        kernel.pidfd_open(child)


def test_a_child_goes_with_its_parent():
    code = """
import os, signal
from assay.sandbox import kernel
ready, tell = os.pipe()
alive, hold = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.close(alive)
        kernel.die_with_parent()
        os.write(tell, b".")
        signal.pause()
    os.read(ready, 1)
    os._exit(0)
os.close(hold)
os.wait()
print(os.read(alive, 1))  # the end of the pipe, once nobody holds it
"""
    assert as_user(os.geteuid(), code, timeout=10).stdout == "b''\n"
