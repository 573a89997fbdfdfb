import orjson
import pytest

from assay.errors import EvidenceError, JournalCorrupt
from assay.records import Outcome, Sample
from assay.run.folder import RunFolder
from assay.run.state import State
from assay.run.until import Blocks, Look, Record, append, decided, looked, order, over, read, summary
from support.plans import plan

RECORD = Record({"digest": "d" * 64, "content": {}}, {"manifest": "run-1"}, 4)


@pytest.fixture
def folder(tmp_path):
    whole = plan(10)
    found = RunFolder(tmp_path / "run")
    found.create(whole, [("t", [Sample(name, "?") for name in whole.tasks["t"].samples], ())])
    return found


def state(whole, **ended):
    return State(whole, bytearray(len(whole)), bytearray(len(whole)), **ended)


def test_blocks_are_asked_in_the_order_drawn_and_hold_all_epochs_of_a_sample():
    whole = plan(10, epochs=2)
    blocks = Blocks(whole, 4)
    assert (blocks.looks, [blocks.asked(number) for number in (0, 1, 3)]) == (3, [{"t": 0}, {"t": 4}, {"t": 10}])
    everything = [whole.locate(index) for number in (1, 2, 3) for index in blocks.indices(number)]
    assert len(everything) == len(set(everything)) == len(whole)
    first = [whole.locate(index) for index in blocks.indices(1)]
    assert {(position, epoch) for _, position, epoch in first} == {
        (position, epoch) for position in order(whole, "t")[:4] for epoch in (0, 1)
    }


def test_a_block_is_asked_again_until_it_is_whole_and_never_after():
    whole = plan(10)
    blocks, known = Blocks(whole, 4), state(whole)
    assert (blocks.whole(known), len(list(blocks.pending(1, [0], known)))) == (0, 4)
    first = list(blocks.indices(1))
    for index in first[:3]:
        known.add(index, Outcome.INFRA_ERROR.value)
    assert (blocks.whole(known), [each.index for each in blocks.pending(1, [0], known)]) == (0, first)
    known.add(first[0], Outcome.OK.value)
    assert [each.index for each in blocks.pending(1, [0], known)] == first[1:]
    known.add(first[3], Outcome.TIMEOUT.value)
    assert blocks.whole(known) == 1


def test_what_it_is_held_against_is_read_back(folder):
    assert read(folder) is None
    RECORD.write(folder)
    assert read(folder) == RECORD


@pytest.mark.parametrize("change", [{"block": 0}, {"policy": {}}, {"extra": 1}, {"schema": "assay.until.v2"}])
def test_a_damaged_record_is_refused(folder, change):
    RECORD.write(folder)
    path = folder.path / "until.json"
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **change}))
    with pytest.raises(EvidenceError, match=r"until\.json"):
        read(folder)


def test_looks_are_kept_in_turn_and_a_torn_one_is_dropped(folder):
    looks = [Look(1, {"t": 4}, "INCONCLUSIVE"), Look(2, {"t": 8}, "ACCEPT")]
    append(folder, looks[0])
    path = folder.path / "looks" / "0000.jsonl"
    path.write_bytes(path.read_bytes() + b'{"look": 2, "sam')
    assert looked(folder) == looks[:1]
    append(folder, looks[1])
    assert looked(folder) == looks
    assert (decided(looks), decided(looks[:1]), decided([])) == (True, False, False)


@pytest.mark.parametrize(
    "line", [{"look": 3}, {"samples": {"t": -1}}, {"samples": [4]}, {"tasks": [{}]}, {"unknown": 1}]
)
def test_a_look_out_of_turn_or_of_another_shape_is_refused_by_its_line(folder, line):
    append(folder, Look(1, {"t": 4}, "INCONCLUSIVE"))
    path = folder.path / "looks" / "0000.jsonl"
    second = {"look": 2, "samples": {"t": 8}, "verdict": "ACCEPT", "tasks": [], **line}
    path.write_bytes(path.read_bytes() + orjson.dumps(second) + b"\n")
    with pytest.raises(JournalCorrupt, match=r"0000\.jsonl:2"):
        looked(folder)


def test_a_run_is_over_at_the_end_of_its_plan_or_where_it_was_decided(folder):
    whole = folder.plan()
    known = state(whole)
    assert (over(folder, whole, known), summary(folder, whole, known)) == (False, None)
    RECORD.write(folder)
    append(folder, Look(1, {"t": 4}, "ANOMALOUS"))
    assert not over(folder, whole, known)
    append(folder, Look(2, {"t": 8}, "REGRESSION", ({"task": "t", "low": -0.5, "high": -0.1},)))
    assert over(folder, whole, known)
    told = summary(folder, whole, known)
    assert (told["decided"], told["looks"], told["planned_looks"]) == (True, 2, 3)
    assert told["samples"] == {"t": {"asked": 8, "planned": 10}}
