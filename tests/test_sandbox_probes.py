from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from assay.sandbox import probes
from assay.sandbox.kernel import LayerError
from assay.sandbox.probes import Probe, best_tier, check_tier, run_probes
from support.identities import EVERYONE, as_user

linux = pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")

ALL = """
import json
from assay.sandbox import probes
print(json.dumps([[probe.name, probe.ok, probe.detail, probe.errno] for probe in probes.run_probes()]))
"""


def found(uid: int, before: str = "") -> dict[str, Probe]:
    done = as_user(uid, before + ALL)
    assert done.returncode == 0, done.stderr
    return {name: Probe(name, ok, detail, code) for name, ok, detail, code in json.loads(done.stdout)}


@linux
@EVERYONE
def test_every_layer_is_tried_and_says_why_where_it_fails(uid: int):
    all_probes = found(uid)
    assert {name for tier in ("full", "reduced") for name in probes.NEEDED[tier]} <= all_probes.keys()
    for probe in all_probes.values():
        assert probe.detail
        assert probe.ok or probe.errno or "not" in probe.detail
    assert best_tier(all_probes.values()) in ("full", "reduced", "none")


WITHOUT_NAMESPACES = """
import errno
from assay.sandbox import bpf, kernel
from assay.sandbox import seccomp
from assay.sandbox.syscalls import NUMBERS
def without(*names):
    steps = [bpf.load(bpf.NUMBER_AT)]
    steps += [bpf.when(bpf.EQUAL, NUMBERS[name], "denied") for name in names]
    steps += [bpf.give(bpf.ALLOW), bpf.label("denied"), bpf.give(bpf.refuse(errno.EPERM))]
    kernel.no_new_privileges()
    seccomp.Program(bpf.assemble(steps)).install()
"""


@linux
@EVERYONE
def test_a_container_that_forbids_namespaces_has_the_reduced_tier(uid: int):
    if best_tier(found(uid).values()) != "full":
        pytest.skip("the tier `full` cannot be had here")
    inside = found(uid, WITHOUT_NAMESPACES + "without('unshare', 'mount')\n")
    assert best_tier(inside.values()) == "reduced"
    with pytest.raises(LayerError) as caught:
        check_tier("full", inside.values())
    assert (caught.value.layer, caught.value.errno) == ("user namespace", errno.EPERM)
    check_tier("reduced", inside.values())


@linux
@EVERYONE
@pytest.mark.parametrize(
    ("call", "layer"), [("landlock_create_ruleset", "landlock"), ("seccomp", "seccomp"), ("pivot_root", "root view")]
)
def test_a_layer_taken_away_is_named_with_its_errno(uid: int, call: str, layer: str):
    if best_tier(found(uid).values()) != "full":
        pytest.skip("the tier `full` cannot be had here")
    inside = found(uid, WITHOUT_NAMESPACES + f"without({call!r})\n")
    assert not inside[layer].ok and inside[layer].errno == errno.EPERM
    with pytest.raises(LayerError) as caught:
        check_tier("full", inside.values())
    assert (caught.value.layer, caught.value.errno) == (layer, errno.EPERM)
    assert best_tier(inside.values()) == ("reduced" if layer == "root view" else "none")


@linux
def test_a_layer_that_does_not_hold_is_not_ok(monkeypatch: pytest.MonkeyPatch):
    """The act that should be refused is allowed: the layer was never applied."""
    with pytest.raises(LayerError, match="not refused"):
        probes._refused("reading", [errno.EACCES], lambda: Path("/").stat())
    with pytest.raises(LayerError, match="another way") as caught:
        probes._refused("reading", [errno.EACCES], lambda: Path("/no such folder").stat())
    assert caught.value.errno == errno.ENOENT


def _dies() -> str:
    os._exit(3)


def _raises() -> str:
    raise RuntimeError("a mistake")


@linux
def test_a_probe_that_dies_or_stumbles_is_no_success():
    with pytest.raises(LayerError, match="wait status 768"):
        probes._in_child(_dies)
    with pytest.raises(LayerError, match="a mistake"):
        probes._in_child(_raises)
    assert probes._in_child(lambda: "fine\twith tab") == "fine\twith tab"


def test_a_tier_is_all_of_its_layers():
    names = probes.NEEDED["full"]
    good = [Probe(name, True, "", 0) for name in names]
    assert best_tier(good) == "full"
    for place, name in enumerate(names):
        bad = [*good[:place], Probe(name, False, "refused", errno.EPERM), *good[place + 1 :]]
        assert best_tier(bad) == ("none" if name in probes.NEEDED["reduced"] else "reduced")
        with pytest.raises(LayerError) as caught:
            check_tier("full", bad)
        assert (caught.value.layer, caught.value.errno) == (name, errno.EPERM)
        assert best_tier(good[:place] + good[place + 1 :]) != "full"  # one that was not tried does not hold
    assert best_tier([Probe("sandbox-exec", True, "", 0)]) == "macos"
    check_tier("none", [])


def test_a_system_without_layers_has_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert run_probes() == ()
    assert best_tier() == "none"
    with pytest.raises(LayerError, match="no such layer"):
        check_tier("full")


@linux
def test_probes_that_cannot_be_run_are_an_error_not_an_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probes, "interpreter", lambda: "/no such python")
    with pytest.raises(LayerError) as caught:
        run_probes()
    assert (caught.value.layer, caught.value.errno) == ("probes", errno.ENOENT)
    monkeypatch.setattr(probes, "interpreter", lambda: "/bin/true")
    with pytest.raises(LayerError, match="ended early"):
        run_probes()
