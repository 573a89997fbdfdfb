import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from assay.data import hub
from assay.data.sources import Hub
from assay.errors import ConfigError, DataUnavailable, DigestMismatch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WHERE = Hub("someone/questions", COMMIT, "main/test.jsonl")
CONTENT = b'{"question": "Is it so?"}\n'


class Files(BaseHTTPRequestHandler):
    """The part of the hub's protocol that a download of one file needs."""

    def do_HEAD(self):
        self._answer(b"")

    def do_GET(self):
        self._answer(self.server.content)

    def _answer(self, body):
        self.server.requests.append(self.command)
        if self.path != f"/datasets/{WHERE.repo}/resolve/{COMMIT}/{WHERE.file}":
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{self.server.etag}"')
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.content, server.etag, server.requests = CONTENT, hashlib.sha256(CONTENT).hexdigest(), []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def forget(tmp_path):
    """Empty the cache of huggingface_hub, as if on a fresh machine that kept assay's records."""
    (tmp_path / "hf").rename(tmp_path / f"hf-{len(list(tmp_path.iterdir()))}")


def test_a_pinned_file_is_fetched_and_checked(server):
    assert hub.fetch(WHERE, hashlib.sha256(CONTENT).hexdigest()).read_bytes() == CONTENT


def test_other_bytes_than_the_pinned_ones_are_refused(server):
    server.content, server.etag = b"other", "an-etag"
    with pytest.raises(DigestMismatch, match="huggingface_hub"):
        hub.fetch(WHERE, hashlib.sha256(CONTENT).hexdigest())


def test_what_the_hub_states_must_hold_even_without_a_pin(server):
    server.etag = "0" * 64
    with pytest.raises(DigestMismatch):
        hub.fetch(WHERE, None)
    assert hub.recorded(WHERE) is None


def test_the_first_digest_is_recorded_and_a_later_one_refused(server, tmp_path):
    server.etag = "not-a-digest"
    hub.fetch(WHERE, None)
    first = hashlib.sha256(CONTENT).hexdigest()
    assert hub.recorded(WHERE) == first
    assert json.loads((tmp_path / "home/locks/hub.json").read_bytes())["schema"] == hub.SCHEMA
    forget(tmp_path)
    server.content, server.etag = b"other bytes", "another"
    with pytest.raises(DigestMismatch, match=first):
        hub.fetch(WHERE, None)
    assert hub.recorded(WHERE) == first


def test_without_the_hub_the_cache_is_enough(server, monkeypatch):
    path = hub.fetch(WHERE, None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub.fetch(WHERE, None) == path


def test_without_the_hub_and_the_cache_it_says_so_at_once(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataUnavailable, match="someone/questions"):
        hub.fetch(WHERE, None)
    assert not server.requests


def test_a_file_that_is_not_there(server):
    with pytest.raises(DataUnavailable, match="404"):
        hub.fetch(Hub(WHERE.repo, COMMIT, "no/such.jsonl"), None)


def test_a_branch_is_not_a_pin(server):
    with pytest.raises(ConfigError, match="40 hex digits"):
        hub.fetch(Hub(WHERE.repo, "main", WHERE.file), None)


def test_offline_mode_of_huggingface_hub_is_honoured(server, tmp_path):
    code = (
        "from assay.data.hub import fetch; from assay.data.sources import Hub\n"
        f"from assay.errors import DataUnavailable\n"
        f"try: fetch({WHERE!r}, None)\n"
        "except DataUnavailable as error: print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "OfflineModeIsEnabled" in done.stdout and not server.requests
