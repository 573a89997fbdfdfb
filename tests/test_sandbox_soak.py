"""Ten thousand hostile samples through one pool: nothing is left, and no memory is lost."""

from __future__ import annotations

import json
import os

import pytest

from assay.sandbox.kernel import LayerError
from assay.sandbox.probes import check_tier
from support.identities import EVERYONE, public_folder, started
from support.watching import Look, memory

SAMPLES = int(os.environ.get("ASSAY_SOAK_SAMPLES", "10000"))
GROWTH_MB = 8.0
"""What all processes together may have grown by: an interpreter's heap never stays the same to the byte."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@EVERYONE
@pytest.mark.parametrize("tier", ["full", "reduced"])
def test_thousands_of_hostile_samples(uid: int, tier: str):
    try:
        check_tier(tier)  # type: ignore[arg-type]
    except LayerError as error:
        pytest.skip(f"the tier `{tier}` cannot be had here: {error}")
    folder = public_folder() / f"soak-{uid}-{tier}"
    folder.mkdir()
    folder.chmod(0o777)
    looks, sizes, found = {}, {}, {}
    with started(uid, "from support.gauntlet import main\nmain()\n", TMPDIR=str(folder)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"tier": tier, "profile": "strict", "folder": str(folder), "samples": SAMPLES}
        print(json.dumps(asked), file=process.stdin, flush=True)
        for line in process.stdout:
            said = json.loads(line)
            found |= said
            if "checkpoint" in said:
                looks[said["checkpoint"]] = Look.settled(process.pid)
                sizes[said["checkpoint"]] = memory(process.pid)
                print(file=process.stdin, flush=True)
    assert found["statuses"]["honest"] == {"passed": (SAMPLES + 9) // 10}
    hostile = found["statuses"]["hostile"]
    assert sum(hostile.values()) == SAMPLES - (SAMPLES + 9) // 10
    assert hostile.keys().isdisjoint({"passed", "sandbox_error", "timeout"})
    assert len(looks["end"].processes) == len(looks["begin"].processes)
    assert looks["end"].descriptors == looks["begin"].descriptors
    assert looks["end"].mounts == looks["begin"].mounts
    assert looks["end"].own_mounts == looks["begin"].own_mounts
    assert sizes["end"] < sizes["begin"] + GROWTH_MB
    assert (found["name"], found["processes"], found["harmed"]) == ("closed", 0, [])
    assert list(folder.iterdir()) == []
    print(json.dumps({"samples": SAMPLES, "kinds": found["kinds"], "memory_mb": sizes, **found["statuses"]}))
