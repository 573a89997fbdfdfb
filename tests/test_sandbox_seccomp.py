from __future__ import annotations

import errno
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.sandbox import bpf, seccomp
from assay.sandbox.syscalls import NUMBERS, numbers_of
from support.identities import EVERYONE, as_user

X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003
ARCHITECTURES = {"x86_64": X86_64, "aarch64": AARCH64}
DENIED, MISSING = bpf.refuse(errno.EPERM), bpf.refuse(errno.ENOSYS)
ME = 4711


def judge(program: bytes, number: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel would do: an interpreter of the instructions that the filters are made of."""
    data = bpf.struct.pack("=IIQ6Q", number, architecture, 0, *(arguments + (0,) * 6)[:6])
    instructions = list(bpf.INSTRUCTION.iter_unpack(program))
    place = taken = 0
    while True:
        code, then, otherwise, constant = instructions[place]
        place += 1
        if code == 0x20:
            (taken,) = bpf.struct.unpack_from("=I", data, constant)
        elif code == 0x54:
            taken &= constant
        elif code == 0x05:
            place += constant
        elif code == 0x06:
            return constant
        else:
            holds = {0x15: taken == constant, 0x25: taken > constant, 0x35: taken >= constant}[code]
            place += then if holds else otherwise


def big(name: str, *arguments: int, machine: str = "x86_64", attributes: bool = True, truncating: bool = True) -> int:
    program = seccomp.big_filter(attributes=attributes, truncating=truncating, machine=machine)
    return judge(program, numbers_of(machine)[name], ARCHITECTURES[machine], arguments)


def small(name: str, *arguments: int, processes: bool = False) -> int:
    program = seccomp.small_filter(ME, (1, 2, ME + 5), processes=processes, machine="x86_64")
    return judge(program, numbers_of("x86_64")[name], X86_64, arguments)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_gets_the_verdict_it_is_listed_with_and_any_other_does_not_exist(machine: str):
    program = seccomp.big_filter(attributes=False, machine=machine)
    checked = {"clone", "socketpair", "sendto", "fcntl", "ioctl", "prctl", "seccomp"}
    verdicts = dict.fromkeys(seccomp.FORBIDDEN + seccomp.ATTRIBUTES, DENIED) | dict.fromkeys(seccomp.ALLOWED, bpf.ALLOW)
    numbers = numbers_of(machine)
    names = {number: name for name, number in numbers.items()}
    for number in range(600):
        name = names.get(number, "")
        if name not in checked:
            assert judge(program, number, ARCHITECTURES[machine]) == verdicts.get(name, MISSING), name


def test_the_lists_name_real_calls_and_agree():
    known = numbers_of("x86_64").keys() | numbers_of("aarch64").keys()
    listed = seccomp.ALLOWED + seccomp.ATTRIBUTES + seccomp.FORBIDDEN
    assert set(listed) <= known
    assert len(set(listed)) == len(listed)


@given(number=st.integers(0, 2**32 - 1), machine=st.sampled_from(["x86_64", "aarch64"]))
def test_another_architectures_calls_end_the_process(number: int, machine: str):
    program = seccomp.big_filter(attributes=True, machine=machine)
    for architecture in {X86_64, AARCH64, I386} - {ARCHITECTURES[machine]}:
        assert judge(program, number, architecture) == bpf.KILL_PROCESS


@given(number=st.integers(0x40000000, 2**32 - 1))
def test_x32_does_not_exist(number: int):
    assert judge(seccomp.big_filter(attributes=True, machine="x86_64"), number, X86_64) == MISSING


CLONE_THREAD_FLAGS = 0x3D0F00
SIGCHLD = 17


def test_no_filter_lets_a_namespace_or_a_lost_child_through():
    assert big("clone", SIGCHLD) == bpf.ALLOW
    assert big("clone", CLONE_THREAD_FLAGS) == bpf.ALLOW
    bits = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x8000, 0x2000, 0x800000]
    for bit in bits:
        assert big("clone", SIGCHLD | bit) == DENIED
        assert big("clone", CLONE_THREAD_FLAGS | bit) == DENIED
        assert small("clone", CLONE_THREAD_FLAGS | bit) == DENIED
    assert big("clone3") == MISSING
    assert big("unshare") == big("setns") == DENIED


def test_a_strict_sample_makes_threads_only():
    assert small("clone", CLONE_THREAD_FLAGS) == bpf.ALLOW
    assert {small("clone", SIGCHLD), small("fork"), small("vfork"), small("execve")} == {DENIED}
    assert {small(name, SIGCHLD, processes=True) for name in ("clone", "fork", "vfork", "execve")} == {bpf.ALLOW}


@pytest.mark.parametrize("name", ["kill", "tkill", "tgkill"])
def test_signals_reach_only_oneself(name: str):
    assert small(name, ME) == bpf.ALLOW
    for pid in (0, 1, ME - 1, ME + 1, 2**32 - 1, 2**32 - ME, 2**64 - 1):
        assert small(name, pid) == DENIED


def test_where_processes_may_be_made_signals_reach_those_too():
    assert small("kill", ME, processes=True) == small("kill", ME + 1, processes=True) == bpf.ALLOW
    for pid in (0, 1, 2, ME - 1, ME + 5, 2**32 - 1, 2**32 - ME, 2**31):
        assert small("kill", pid, processes=True) == DENIED


@pytest.mark.parametrize("processes", [True, False])
def test_what_only_the_template_needs_is_taken_from_samples(processes: bool):
    for name in ("pidfd_open", "pidfd_send_signal", "seccomp", "landlock_restrict_self"):
        assert small(name, processes=processes) == DENIED
    assert small("prctl", 1, processes=processes) == DENIED  # it ends with the template
    assert small("prctl", 15, processes=processes) == bpf.ALLOW
    assert small("prlimit64", 0, processes=processes) == small("prlimit64", ME, processes=processes) == bpf.ALLOW
    assert small("prlimit64", ME + 1, processes=processes) == DENIED


def test_only_pairs_of_local_streams_are_sockets():
    unix, stream, nonblocking = 1, 1, 0o2004000
    assert big("socketpair", unix, stream) == big("socketpair", unix, stream | nonblocking) == bpf.ALLOW
    for family, kind in ((unix, 2), (unix, 3), (unix, 5), (2, stream), (16, 3), (40, stream)):
        assert big("socketpair", family, kind) == bpf.refuse(errno.EACCES)
    assert big("socket") == big("connect") == big("bind") == DENIED
    assert big("sendto", 5, 0, 0, 0, 0) == bpf.ALLOW
    assert big("sendto", 5, 0, 0, 0, 1) == big("sendto", 5, 0, 0, 0, 1 << 32) == DENIED


@given(st.integers(0, 2**32 - 1))
def test_file_control_is_an_allowlist(command: int):
    allowed = {0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034}
    assert big("fcntl", 3, command) == (bpf.ALLOW if command in allowed else DENIED)


def test_owners_of_signals_and_other_harm_by_control_calls():
    for command in (
        8,
        10,
        15,
        1024,
        1026,
        1031,
        1033,
    ):  # SETOWN, SETSIG, SETOWN_EX, SETLEASE, NOTIFY, SETPIPE_SZ, SEALS
        assert big("fcntl", 3, command) == DENIED
    assert big("ioctl", 3, 0x5401) == big("ioctl", 3, 0x5421) == bpf.ALLOW
    assert big("ioctl", 3, 0x5412) == big("ioctl", 3, 0x40086602) == bpf.refuse(errno.ENOTTY)
    assert big("prctl", 15) == bpf.ALLOW
    assert big("prctl", 4) == big("prctl", 22) == big("prctl", 36) == bpf.refuse(errno.EINVAL)


def test_modes_owners_and_times_only_where_the_root_is_read_only():
    for name in seccomp.ATTRIBUTES:
        assert big(name) == bpf.ALLOW
        assert big(name, attributes=False) == DENIED


def test_old_landlocks_have_truncation_refused_here():
    assert big("openat", 0, 0, 0o1101) == big("open", 0, 0o1101) == bpf.ALLOW
    assert big("openat", 0, 0, 0o1101, truncating=False) == big("open", 0, 0o1000, truncating=False) == DENIED
    assert big("openat", 0, 0, 0o101, truncating=False) == bpf.ALLOW
    assert big("creat", truncating=False) == DENIED


@given(st.integers(1, 600), st.data())
def test_jumps_of_any_length_arrive(length: int, data: st.DataObject):
    """A chain of `length` comparisons, each with a verdict of its own at the far end."""
    tests = [bpf.when(bpf.EQUAL, number, f"is {number}") for number in range(length)]
    verdicts = [step for number in range(length) for step in (bpf.label(f"is {number}"), bpf.give(1000 + number))]
    program = bpf.assemble([bpf.load(0), *tests, bpf.give(1), *verdicts])
    number = data.draw(st.integers(0, length))
    assert judge(program, number, X86_64) == (1000 + number if number < length else 1)


def test_a_program_cannot_jump_back_or_nowhere():
    with pytest.raises(KeyError):
        bpf.assemble([bpf.label("start"), bpf.load(0), bpf.when(bpf.EQUAL, 0, "start"), bpf.give(1)])


def test_filters_are_the_same_each_time_and_told_apart():
    choices = [(a, t, p) for a in (True, False) for t in (True, False) for p in (True, False)]
    digests = [seccomp.digest(attributes=a, truncating=t, processes=p) for a, t, p in choices]
    assert len(set(digests)) == len(digests)
    assert digests[0] == seccomp.digest(attributes=True, truncating=True, processes=True)


def test_a_machine_whose_calls_are_unknown_gets_no_filter():
    with pytest.raises(seccomp.FilterError, match="riscv64"):
        seccomp.big_filter(attributes=True, machine="riscv64")


@pytest.mark.skipif(not NUMBERS, reason="the system calls of this machine are not known")
def test_a_process_number_is_filled_in():
    program = seccomp.SampleFilter(processes=False)
    try:
        program.install_for(os.getpid(), (1, 2, 3, 4, 5))
    except ValueError:
        return
    pytest.fail("more processes than there is room for were taken")


HARMFUL = {
    "reboot",
    "sync",
    "syncfs",
    "vhangup",
    "sethostname",
    "setdomainname",
    "acct",
    "swapon",
    "swapoff",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "iopl",
    "ioperm",
    "settimeofday",
    "clock_settime",
    "adjtimex",
    "setuid",
    "setgid",
    "setgroups",
    "syslog",
}
"""What is better not called, even with no arguments, by a root whose filter might not hold."""

REAL = """
import asyncio, errno, json, os, resource, signal, socket, subprocess, threading, time, tempfile
from assay.sandbox import kernel, seccomp
from assay.sandbox.syscalls import NUMBERS
folder = tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/tmp"))
kernel.no_new_privileges()
small = seccomp.SampleFilter(processes=False)
outside = os.getppid()
child = os.fork()
if child:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    folder.cleanup()
    raise SystemExit(code)
seccomp.Program(seccomp.big_filter(attributes=False)).install()
grandchild = os.fork()  # the template's right
if grandchild:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
small.install_for(os.getpid(), (1, os.getppid()))
def call(name, *arguments):
    try:
        kernel.call(name, *arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def act(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
if act(socket.socket) != "EPERM":
    raise SystemExit("the filter does not hold")
refused = {name: call(name) for name in %(names)r}
refused["clone3"] = call("clone3", 0, 0)
refused["fork"] = act(os.fork)
refused["socket"] = act(socket.socket)
refused["parent"] = act(os.kill, os.getppid(), 0)
refused["outside"] = act(os.kill, outside, 0)
refused["first"] = act(os.kill, 1, 0)
refused["everyone"] = act(os.kill, -1, 0)
refused["group"] = act(os.kill, 0, 0)
refused["process"] = act(subprocess.run, ["/bin/true"])
refused["limits"] = act(resource.prlimit, os.getppid(), resource.RLIMIT_CPU)
refused["chmod"] = act(os.chmod, folder.name, 0o777)
refused["utime"] = act(os.utime, folder.name)
done = []
thread = threading.Thread(target=done.append, args=("thread",))
thread.start()
thread.join()
async def sleep():
    await asyncio.sleep(0.001)
    done.append("asyncio")
asyncio.run(sleep())
signal.signal(signal.SIGALRM, lambda *_: done.append("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.001)
time.sleep(0.01)
signal.signal(signal.SIGUSR1, lambda *_: done.append("own signal"))
os.kill(os.getpid(), signal.SIGUSR1)
signal.raise_signal(signal.SIGUSR1)
left, right = socket.socketpair()
left.sendall(b"pair")
done.append(right.recv(4).decode())
with open(os.path.join(folder.name, "file"), "w+") as file:
    file.write("file")
    file.seek(0)
    done.append(file.read())
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
done.append(len(os.urandom(8)))
print(json.dumps({"refused": refused, "done": done}))
"""


@pytest.mark.skipif(not NUMBERS, reason="the system calls of this machine are not known")
@EVERYONE
def test_the_kernel_agrees(uid: int):
    names = [name for name in seccomp.FORBIDDEN if name in NUMBERS and name not in HARMFUL]
    done = as_user(uid, REAL % {"names": names})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    refused = found["refused"]
    assert refused.pop("clone3") == "ENOSYS"
    assert {name: code for name, code in refused.items() if code != "EPERM"} == {}
    expected = ["thread", "asyncio", "alarm", "own signal", "own signal", "pair", "file", 8]
    assert found["done"] == expected


def test_another_architectures_call_really_ends_the_process():
    """getpid by `int 0x80`, which on x86_64 is i386's way in."""
    if os.uname().machine != "x86_64":
        pytest.skip("only x86_64 has a second way into the kernel")
    code = """
import ctypes, mmap
from assay.sandbox import kernel, seccomp
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
kernel.no_new_privileges()
seccomp.Program(seccomp.big_filter(attributes=False)).install()
call()
"""
    assert as_user(os.geteuid(), code).returncode == -31  # SIGSYS
