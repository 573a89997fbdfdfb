from __future__ import annotations

import json
import os

import pytest

from assay.sandbox import landlock
from support.identities import EVERYONE, as_user


def _missing() -> str:
    try:
        landlock.abi()
    except OSError as error:
        return f"this kernel has no Landlock: {error}"
    return ""


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing() or "-")

CODE = """
import errno, json, os, pathlib, socket, tempfile
from assay.sandbox import kernel, landlock
with tempfile.TemporaryDirectory() as folder:
    top = pathlib.Path(folder)
    for name in ("read", "write", "list", "write/deep"):
        (top / name).mkdir()
    for name in ("read/file", "write/file", "list/file", "outside"):
        (top / name).write_text("text")
    def act(function, *arguments):
        try:
            function(*arguments)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "done"
    def confined():
        kernel.no_new_privileges()
        rules = [(f"{top}/read", landlock.READ), (f"{top}/write", landlock.WRITE), (f"{top}/list", landlock.READ_DIR)]
        found = {"abi": landlock.confine(rules)}
        found["read"] = act(open, top / "read/file")
        found["list"] = act(os.listdir, top / "list")
        found["write"] = act((top / "write/file").write_text, "new")
        found["make"] = act((top / "write/deep/new").write_text, "new")
        found["move"] = act(os.rename, top / "write/deep/new", top / "write/moved")
        found["remove"] = act(os.unlink, top / "write/moved")
        found["read outside"] = act(open, top / "outside")
        found["read where only names"] = act(open, top / "list/file")
        found["write where read"] = act(open, top / "read/file", "a")
        found["make where read"] = act(open, top / "read/new", "w")
        found["remove where read"] = act(os.unlink, top / "read/file")
        found["truncate"] = act(os.truncate, top / "read/file", 0)
        found["link out"] = act(os.link, top / "write/file", top / "read/linked")
        found["move in"] = act(os.rename, top / "read/file", top / "write/taken")
        found["/etc/passwd"] = act(open, "/etc/passwd")
        found["list /"] = act(os.listdir, "/")
        with socket.socket() as tcp:
            found["connect"] = act(tcp.connect, ("127.0.0.1", 9))
            found["bind"] = act(tcp.bind, ("127.0.0.1", 0))
        found["signal"] = act(os.kill, os.getppid(), 0)
        return found
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.write(theirs, json.dumps(confined()).encode())
        os._exit(0)
    os.wait()
    print(os.read(ours, 10000).decode())
"""


@EVERYONE
def test_what_is_given_and_nothing_else(uid: int):
    done = as_user(uid, CODE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    abi = found.pop("abi")
    given = ["read", "list", "write", "make", "remove"] + (["move"] if abi >= 2 else [])
    assert {name: found.pop(name) for name in given} == dict.fromkeys(given, "done")
    newer = {"move": 2, "truncate": 3, "connect": 4, "bind": 4, "signal": 6}
    for name, first in newer.items():
        if abi < first:
            found.pop(name, None)
    if abi >= 6:
        assert found.pop("signal") == "EPERM"
    assert {name: code for name, code in found.items() if code not in ("EACCES", "EXDEV")} == {}


def test_a_scope_alone_keeps_files_and_refuses_signals():
    if landlock.abi() < 6:
        pytest.skip("this kernel's Landlock has no scopes")
    code = """
import os
from assay.sandbox import kernel, landlock
kernel.no_new_privileges()
ruleset = landlock.scope()
if os.fork() == 0:
    landlock.restrict(ruleset, landlock.abi())
    open("/etc/passwd").close()
    os.kill(os.getpid(), 0)
    try:
        os.kill(os.getppid(), 0)
    except PermissionError:
        os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert as_user(os.geteuid(), code).stdout == "7\n"


def test_versions_handle_more_and_more():
    rights = [landlock.handled(version) for version in range(1, 9)]
    assert rights == sorted(rights)
    assert not rights[0] & landlock.REFER and rights[1] & landlock.REFER
    assert not rights[1] & landlock.TRUNCATE and rights[2] & landlock.TRUNCATE
    assert not rights[3] & landlock.IOCTL_DEV and rights[4] & landlock.IOCTL_DEV


def test_a_rule_for_what_is_not_there_is_an_error():
    code = """
from assay.sandbox import kernel, landlock
kernel.no_new_privileges()
try:
    landlock.confine([("/no such folder", landlock.READ)])
except FileNotFoundError:
    print(len(open("/etc/passwd").read()) > 0)  # and nothing was taken on
"""
    assert as_user(os.geteuid(), code).stdout == "True\n"
