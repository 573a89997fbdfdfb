from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from assay.sandbox import namespaces
from assay.sandbox.kernel import LayerError
from assay.sandbox.probes import check_tier
from assay.sandbox.view import View
from support.identities import EVERYONE, ROOT, as_user


def _missing() -> str:
    try:
        check_tier("full")
    except LayerError as error:
        return f"the tier `full` cannot be had here: {error}"
    return ""


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing() or "-")

ENTER = """
import errno, json, os, signal, socket, sys
from assay.sandbox import namespaces
from assay.sandbox.kernel import LayerError
from assay.sandbox.view import View, plan_view
def act(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
view = plan_view()
user = namespaces.enter(view, 1, 8)
"""

LOOK = (
    ENTER
    + """
found = {"pid": os.getpid(), "inside": os.getuid(), "outside": user, "host": os.uname().nodename}
found["root"] = sorted(os.listdir("/"))
found["planned"] = [path.split("/")[1] for path in (*view.folders, *view.files, *view.links, *namespaces._LINKS)]
found["/etc/passwd"] = act(open, "/etc/passwd")
found["write"] = [act(os.mkdir, path) for path in ("/x", "/box/x", "/usr/x", os.path.dirname(os.__file__) + "/x")]
found["sites"] = [os.listdir(folder) for folder in view.masked]
found["devices"] = [open("/dev/zero", "rb").read(2).hex(), len(open("/dev/urandom", "rb").read(4))]
open("/dev/null", "w").write("x")
with socket.socket() as tcp:
    found["tcp"] = act(tcp.connect, ("127.0.0.1", 9))
found["links"] = [os.readlink("/tmp"), os.readlink("/dev/shm")]
file = open("/tmp/file", "wb", buffering=0)
found["large"] = act(file.write, bytes(2 << 20))
found["larger"] = act(file.write, b"x")
file.close()
os.remove("/box/work/file")
found["many"] = [act(os.mkdir, f"/box/work/{number}") for number in range(10)]
import wave, zoneinfo, decimal, ssl, sqlite3
found["zone"] = str(zoneinfo.ZoneInfo("Europe/Paris"))
print(json.dumps(found))
sys.stdout.flush()
os._exit(7)
"""
)


@EVERYONE
def test_the_world_inside(uid: int):
    mounts = Path("/proc/self/mountinfo").read_text()
    done = as_user(uid, LOOK)
    assert done.returncode == 7, done.stderr
    found = json.loads(done.stdout)
    assert (found["pid"], found["inside"], found["host"]) == (1, 1000, "box")
    assert found["outside"] != 0 and (found["outside"] == uid or uid == ROOT)
    assert set(found["root"]) == {"box", "dev", *found["planned"]}
    assert found["/etc/passwd"] == "ENOENT"
    assert found["write"] == ["EROFS"] * 4
    assert all(folder == [] for folder in found["sites"])
    assert found["devices"] == ["0000", 4]
    assert found["tcp"] == "ENETUNREACH"
    assert found["links"] == ["/box/work", "/box/work"]
    assert found["large"] == 1 << 20 and found["larger"] == "ENOSPC"
    assert found["many"] == [None] * 8 + ["ENOSPC"] * 2
    assert found["zone"] == "Europe/Paris"
    assert Path("/proc/self/mountinfo").read_text() == mounts


@EVERYONE
@pytest.mark.parametrize("end", ["os._exit(41)", "os.kill(os.getpid(), 9)", "sys.exit('text')"])
def test_the_process_outside_ends_as_the_one_inside(uid: int, end: str):
    """Process 1 cannot kill itself, so that one shows itself living on."""
    done = as_user(uid, f"{ENTER}\n{end}\nos._exit(43)")
    assert done.returncode == {"os._exit(41)": 41, "os.kill(os.getpid(), 9)": 43, "sys.exit('text')": 1}[end], (
        done.stderr
    )


@EVERYONE
def test_whoever_kills_the_process_outside_ends_everything_inside(uid: int):
    code = """
import os, signal
from assay.sandbox import namespaces
from assay.sandbox.view import plan_view
alive, hold = os.pipe()
ready, tell = os.pipe()
outside = os.fork()
if outside == 0:
    namespaces.enter(plan_view(), 1, 8)
    if os.fork() == 0:
        os.setsid()
        os.write(tell, b".")
    signal.pause()
os.close(hold)
os.close(tell)
assert os.read(ready, 1) == b"."
os.kill(outside, signal.SIGKILL)
print(os.waitstatus_to_exitcode(os.waitpid(outside, 0)[1]), os.read(alive, 1))
"""
    done = as_user(uid, code, timeout=20)
    assert done.stdout == "-9 b''\n", done.stderr


@EVERYONE
def test_a_signal_that_ends_the_one_inside_is_passed_on(uid: int):
    """A fault's signal ends even process 1."""
    done = as_user(uid, ENTER + "import ctypes\nctypes.string_at(0)")
    assert done.returncode == -11, done.stderr


@EVERYONE
def test_a_fresh_work_folder_whatever_was_done_to_the_old(uid: int):
    code = (
        ENTER
        + """
clean = namespaces.work_mark()
marks = []
def after(function, *arguments):
    function(*arguments)
    marks.append(namespaces.work_mark() != clean)
after(os.listdir, "/box/work")
after(lambda: (os.mkdir("/box/work/a"), os.rmdir("/box/work/a")))
namespaces.refresh_work(1, 8)
clean = namespaces.work_mark()
after(os.chmod, "/box/work", 0)
os.makedirs("/box/work/" + "/".join("abcdef"), mode=0o700)
os.chmod("/box/work/a", 0)
held = os.open("/box/work", os.O_RDONLY)
namespaces.refresh_work(1, 8)
clean = namespaces.work_mark()
after(lambda: None)
print(marks, os.listdir("/box/work"), oct(os.stat("/box/work").st_mode & 0o777))
open("/box/work/file", "w").write("new")
sys.stdout.flush()
os._exit(0)
"""
    )
    done = as_user(uid, code)
    assert done.stdout == "[False, True, True, False] [] 0o700\n", done.stderr


@EVERYONE
def test_what_cannot_be_bound_is_an_error_and_nothing_is_entered(uid: int):
    code = """
import os
from assay.sandbox import namespaces
from assay.sandbox.kernel import LayerError
from assay.sandbox.view import View
before = os.getpid()
try:
    namespaces.enter(View(["/no such folder"]), 1, 8)
except LayerError as error:
    print(error.layer, error.errno, os.getpid() == before)
"""
    assert as_user(uid, code).stdout == "root view 2 True\n"


@EVERYONE
def test_what_lies_where_the_root_is_built_is_seen_all_the_same(uid: int):
    """The new root is mounted over such a folder before anything is bound."""
    with tempfile.TemporaryDirectory(dir=namespaces.stage()) as folder:
        Path(folder).chmod(0o755)
        for name in ("bound", "other", "bound/site-packages/kept", "bound/site-packages/answers"):
            (Path(folder) / name).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "file").write_text("text")
        bound = f"{folder}/bound"
        view = View([bound, f"{bound}/site-packages/kept"], [f"{folder}/file"], [f"{bound}/site-packages"])
        code = f"""
import json, os
from assay.sandbox import namespaces
from assay.sandbox.view import View
namespaces.enter(View.from_json(json.loads({json.dumps(json.dumps(view.to_json()))})), 1, 8)
print(sorted(os.listdir({folder!r})), os.listdir({bound!r}), os.listdir({bound!r} + "/site-packages"), flush=True)
print(open({folder!r} + "/file").read(), flush=True)
os._exit(0)
"""
        done = as_user(uid, code)
    assert done.stdout.splitlines() == ["['bound', 'file'] ['site-packages'] ['kept']", "text"], done.stderr
