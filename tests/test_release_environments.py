"""Environments that assay makes: once, whole, by one process; or the user's own."""

import subprocess
import sys
import threading

import pytest

from assay.errors import ConfigError, MachineError
from assay.release.environments import Wanted, folder, interpreter, prepared, room

EMPTY = Wanted("empty", (), disk=1 << 20)


@pytest.fixture
def wheel(tmp_path):
    """A package that is nowhere but here, as a wheel."""
    import zipfile

    path = tmp_path / "tiny_thing-1.2-py3-none-any.whl"
    info = "tiny_thing-1.2.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_thing.py", "answer = 42\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.2\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.slow
def test_it_is_made_once_and_its_lock_says_what_is_in_it(wheel):
    wanted, said = Wanted("tiny", (str(wheel),), disk=1 << 20), []
    made = prepared(wanted, lambda text, size: said.append(text))
    answer = subprocess.run([made.python, "-c", "import tiny_thing; print(tiny_thing.answer)"], capture_output=True)
    assert answer.stdout == b"42\n"
    assert made.own
    lock = made.lock()
    assert "tiny-thing==1.2" in lock["packages"]
    assert lock["packages"] == sorted(lock["packages"])
    assert str(wheel.parent) not in str(lock)
    assert said[0].startswith("setting up tiny")
    marker = folder(wanted) / "ready.json"
    stamp = marker.stat().st_mtime_ns
    assert prepared(wanted).lock() == lock
    assert marker.stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_half_made_ones_are_made_anew():
    pip = Wanted("empty", ("pip",), disk=1)
    half = folder(pip)
    (half / "bin").mkdir(parents=True)
    (half / "left-over").write_text("x")
    assert prepared(pip).python.exists()
    assert not (half / "left-over").exists()


@pytest.mark.slow
def test_two_at_once_make_one(wheel):
    wanted, said, found = Wanted("twice", (str(wheel),), disk=1), [], []
    threads = [
        threading.Thread(target=lambda: found.append(prepared(wanted, lambda text, _: said.append(text))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert sum(text.startswith("setting up") for text in said) == 1


@pytest.mark.slow
def test_what_pip_cannot_find_is_told_in_its_words_and_leaves_nothing():
    wanted = Wanted("nowhere", ("no-such-package-of-anybody==1.0",), disk=1)
    with pytest.raises(MachineError, match="No matching distribution found for no-such-package-of-anybody") as caught:
        prepared(wanted)
    assert caught.value.layer == "pip"
    assert "pip config list" in (caught.value.hint or "")
    assert not folder(wanted).exists()


def test_the_users_own_goes_before(monkeypatch):
    monkeypatch.setenv("ASSAY_EMPTY_PYTHON", sys.executable)
    found = prepared(EMPTY)
    assert (str(found.python), found.own) == (sys.executable, False)
    monkeypatch.setenv("ASSAY_EMPTY_PYTHON", "/no/such/python")
    with pytest.raises(ConfigError, match="ASSAY_EMPTY_PYTHON"):
        prepared(EMPTY)


def test_a_package_for_other_pythons_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MachineError, match=r"can be had for Python 2\.7") as caught:
        interpreter(Wanted("old", (), disk=1, pythons=("2.7",)))
    assert "ASSAY_OLD_PYTHON" in (caught.value.hint or "")


def test_a_full_disk_is_told_beforehand(tmp_path):
    with pytest.raises(MachineError, match="GB free"):
        room(tmp_path / "not" / "there", 1 << 60, "all of it")
