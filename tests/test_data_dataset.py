import hashlib
import json
import os
import threading

import pytest

from assay.data import wheels
from assay.data.dataset import load, local_source
from assay.data.sources import File, Folder, Hub, Skip, Source, Wheel
from assay.errors import ConfigError, DataUnavailable, DigestMismatch, MachineError
from assay.records import Sample

ROWS = [{"id": f"q{number}", "q": f"What is {number} plus {number}?", "a": number * 2} for number in range(50)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def parse(row, index):
    if row["a"] is None:
        return Skip("no answer")
    return Sample(row["id"], row["q"], str(row["a"]), fields=row.get("fields", {}))


def write(folder, rows, name="set.jsonl"):
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def source(where=None, **changes):
    settings = {"format": "jsonl", "parse": parse, "sha256": None, "origin": "made up", "licence": "none"}
    return Source(where or Folder("set.jsonl"), **(settings | changes))


def get(*sources, version="1"):
    return load("set", sources or (source(),), version=version)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_samples_by_position_and_in_order(folder):
    write(folder, ROWS)
    data = get()
    assert len(data) == 50 and data[7] == Sample("q7", "What is 7 plus 7?", "14")
    names = [name for name, _ in data.keys()]
    assert [sample.id for sample in data] == names == [row["id"] for row in ROWS]
    for index in (-1, 50):
        with pytest.raises(IndexError):
            data[index]


def test_the_second_load_reads_the_kept_copy_and_gives_the_same(folder, tmp_path):
    write(folder, ROWS)
    first = get()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "home").rglob("*") if path.is_file()}
    second = get()
    assert (second.digest, second.origin, list(second)) == (first.digest, first.origin, list(first))
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


@pytest.mark.parametrize("ending", [".jsonl", ".keys", ".json"])
def test_a_damaged_copy_is_made_again(folder, tmp_path, ending):
    write(folder, ROWS)
    digest = get().digest
    (path,) = (path for path in (tmp_path / "home/datasets").iterdir() if path.suffix == ending)
    path.write_bytes(path.read_bytes()[:-5])
    again = get()
    assert again.digest == digest and len(list(again.keys())) == 50


def test_another_version_revision_or_content_is_another_copy(folder, tmp_path):
    write(folder, ROWS)
    get(), get(version="2"), get(source(revision="2"))
    write(folder, ROWS[:9])
    assert len(get()) == 9
    assert len(list((tmp_path / "home/datasets").glob("*.jsonl"))) == 4


def test_skipped_rows_are_counted_with_their_lines(folder):
    write(folder, [*ROWS[:3], {"id": "x", "q": "?", "a": None}, {"q": "no id", "a": 1}])
    origin = get().origin
    assert origin.rows == 5
    assert [(skip.reason, skip.count, skip.lines) for skip in origin.skipped] == [
        ("no answer", 1, (4,)),
        ("no 'id' in this row", 1, (5,)),
    ]
    assert json.loads(json.dumps(origin.to_json()))["skipped"][0]["count"] == 1


def test_every_bad_row_of_a_strict_source_is_reported_at_once(tmp_path):
    path = write(tmp_path, [*ROWS[:2], {"id": "x", "q": "?", "a": None}, {"id": "y", "a": 1}, {"id": "z", "a": 1}])
    with pytest.raises(ConfigError) as caught:
        get(source(File(str(path)), strict=True))
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (3, "no answer"),
        (4, "no 'q' in this row (and 1 more rows: 5)"),
    ]
    assert not list((tmp_path / "home").rglob("*.jsonl"))


def test_at_most_twenty_kinds_of_faults_are_shown(tmp_path):
    path = write(tmp_path, [*ROWS, *ROWS])
    with pytest.raises(ConfigError, match="50 rows cannot be used") as caught:
        get(source(File(str(path)), strict=True))
    assert len(caught.value.problems) == 21


@pytest.mark.parametrize("strict", [True, False])
def test_two_rows_of_one_id_are_an_error_naming_both(folder, strict):
    write(folder, [*ROWS[:4], ROWS[1]])
    with pytest.raises(ConfigError) as caught:
        get(source(strict=strict))
    (problem,) = caught.value.problems
    assert problem.line == 5 and "'q1' is taken by line 2" in problem.message


@pytest.mark.parametrize("bad", ["", "a\nb", "x" * 300])
def test_unusable_ids_are_refused(folder, bad):
    write(folder, [{"id": bad, "q": "?", "a": 1}])
    with pytest.raises(ConfigError, match="id"):
        get(source(strict=True))


def test_a_file_without_samples_is_an_error(folder):
    write(folder, [])
    with pytest.raises(ConfigError, match="no samples"):
        get()


def test_a_file_that_is_not_the_pinned_one_is_an_error_even_with_other_sources(folder):
    write(folder, ROWS)
    with pytest.raises(DigestMismatch, match=r"set\.jsonl"):
        get(source(sha256="0" * 64), source(Hub("a/b", "0" * 40, "c")))


def test_equal_samples_have_equal_digests_wherever_they_come_from(folder):
    write(folder, ROWS)
    write(folder, [{"a": row["a"], "extra": 1} | row for row in ROWS], "other.jsonl")
    assert get().digest == get(source(Folder("other.jsonl"))).digest


def test_every_place_tried_is_named_with_its_reason(folder, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    sources = (
        source(),
        source(Wheel("no-such-package", "1.0", "0" * 64, "a/b.jsonl"), sha256="0" * 64),
        source(Hub("some/set", "0" * 40, "c.jsonl")),
    )
    with pytest.raises(DataUnavailable) as caught:
        get(*sources)
    text = str(caught.value)
    assert "ASSAY_DATA/set.jsonl: no such file" in text and "no-such-package==1.0" in text and "some/set" in text
    monkeypatch.delenv("ASSAY_DATA")
    with pytest.raises(DataUnavailable, match="ASSAY_DATA is not set"):
        get(source())


def test_a_cached_copy_needs_neither_folder_nor_wheel(folder, monkeypatch):
    path = write(folder, ROWS)
    pin = sha256(path)
    wheel = source(Wheel("no-such-package", "1.0", "0" * 64, "a/b.jsonl"), sha256=pin)
    get(source(sha256=pin), wheel)
    path.unlink()
    monkeypatch.setattr(wheels, "member", None)
    assert len(get(source(sha256=pin), wheel)) == 50


def test_a_missing_file_of_the_user_is_the_user_s_error(tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(ConfigError):
            get(source(File(str(path))))


def test_a_cache_that_cannot_be_written_names_the_layer(folder, tmp_path, monkeypatch):
    write(folder, ROWS)
    (tmp_path / "blocked").write_text("a file, not a folder")
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "blocked"))
    with pytest.raises(MachineError, match="ASSAY_HOME"):
        get()


def test_duplicates_of_a_demonstration_by_id_content_and_nearness(folder):
    long = "A train leaves the station at nine and travels for three hours at eighty miles an hour; how far?"
    questions = [long, long.upper(), long.replace("far?", "long?"), "How far is it?", long + " " + long[::-1]]
    write(folder, [{"id": str(number), "q": text, "a": 1} for number, text in enumerate(questions)])
    assert get().duplicates([0]) == {
        0: "is a demonstration",
        1: "asks the same as a demonstration",
        2: "asks nearly the same as a demonstration",
    }
    assert get().duplicates([]) == {}


def test_fields_that_are_shown_tell_samples_apart(folder):
    rows = [{"id": str(n), "q": "Is it so?", "a": 1, "fields": {"passage": text}} for n, text in enumerate("abc")]
    write(folder, rows)
    assert set(get().duplicates([0])) == {0, 1, 2}
    assert set(get(source(shown=("passage",))).duplicates([0])) == {0}


def test_threads_share_a_data_set(folder):
    write(folder, ROWS)
    data, wrong = get(), []

    def read():
        wrong.extend(sample for index, sample in enumerate(data) if sample.id != f"q{index}")

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_json_cannot_say_is_refused(folder):
    write(folder, ROWS)
    bad = source(parse=lambda row, index: Sample(row["id"], "?", fields={"x": float("nan")}), strict=True)
    with pytest.raises(ConfigError, match="nan"):
        get(bad)


def test_a_right_choice_must_be_a_choice(folder):
    write(folder, ROWS)
    bad = source(parse=lambda row, index: Sample(row["id"], "?", choices=("a", "b"), gold=(2,)), strict=True)
    with pytest.raises(ConfigError, match="2 choices"):
        get(bad)


def test_where_a_data_set_can_be_had_without_fetching(folder):
    path = write(folder, ROWS)
    wheel = Wheel("no-such-package", "1.0", "0" * 64, "a/b.jsonl")
    sources = (source(sha256=sha256(path)), source(wheel, sha256=sha256(path)))
    assert local_source("set", sources) == "ASSAY_DATA/set.jsonl"
    load("set", sources, version="1")
    path.unlink()
    assert local_source("set", sources) == f"{wheel} (cached)"
    assert local_source("other", sources) is None
    write(folder, ROWS[:3])
    with pytest.raises(DigestMismatch):
        local_source("set", sources)
