"""Boards of real runs: joined by sample, ranked on what all have, and open about the rest."""

import csv
import json
import re
import shutil

import pytest

import assay
from assay import judged
from assay.cli.main import run
from assay.evidence.manifest import seal
from assay.run.compact import compact
from assay.run.folder import RunFolder
from support import judging
from support.evals import questions
from support.stub import Fault, Stub, digest

PROMPT = "---\nid: {id}\nversion: 1\ndescription: A {id} one.\n---\n{head}{{{{ input }}}}\n"


def answering(wrong):
    """Answers the parity questions, `wrong` per cent of them wrongly; twice as many where nobody said please."""

    def answer(prompt, seed):
        number = int(prompt.split("Is ")[1].split(" ")[0])
        often = wrong if "Please" in prompt else min(100, 2 * wrong)
        odd = number % 2 == (digest("wrong", number) % 100 >= often)
        return "no" if odd else "yes"

    return answer


def evaluated(folder, name, wrong=10, count=60, faults=(), model="", **more):
    folder.mkdir(exist_ok=True)
    (folder / "rude.md").write_text(PROMPT.format(id="rude", head=""))
    (folder / "kind.md").write_text(PROMPT.format(id="kind", head="Please. "))
    with Stub(answer=answering(wrong), faults=faults) as stub:
        plan = {
            "name": name,
            "models": [{"model": f"openai:{model or name}", "name": model or name, "base_url": stub.url}],
            "prompts": [str(folder / "rude.md"), str(folder / "kind.md")],
            "tasks": [{"task": f"file:{questions(folder / 'questions.jsonl', count)}", "name": "parity"}],
            "retry": {"tries": 2, "base_s": 0.01, "max_s": 0.05},
            **more,
        }
        return assay.evaluate(plan, out=folder / name).path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return evaluated(folder, "able", 5), evaluated(folder, "weak", 30)


def told(capsys, *arguments):
    code = run(["board", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_cells_of_several_runs_are_ranked_together(runs, capsys):
    code, board = told(capsys, *runs)
    assert (code, board["schema"], board["shared"], board["excluded"]) == (0, "assay.board.v1", 60, 0)
    labels = [entry["label"] for entry in board["entries"]]
    assert labels[0] == "able · kind@1"
    assert labels[-1] == "weak · rude@1"
    assert [entry["rank"] for entry in board["entries"]] == sorted(entry["rank"] for entry in board["entries"])
    assert sum(entry["best"] for entry in board["entries"]) == pytest.approx(1)
    first = board["entries"][0]
    assert first["low"] < first["value"] < first["high"]
    assert (first["n"], first["pending"], first["failed"], first["cost"]) == (60, 0, 0, None)
    assert board["winner"]["corrected"] <= board["winner"]["value"]
    assert "luck" in board["winner"]["statement"]


def test_the_means_are_those_of_the_results(runs, capsys):
    _, board = told(capsys, *runs)
    for path in runs:
        for cell in assay.open(path).results["cells"]:
            (entry,) = [e for e in board["entries"] if (e["model"], e["prompt"]) == (cell["model"], cell["prompt"])]
            metric = cell["metrics"][0]
            assert [entry[key] for key in ("value", "low", "high", "n")] == pytest.approx(
                [metric[key] for key in ("value", "low", "high", "n")]
            )


def test_by_model_averages_over_prompts_and_says_so(runs, capsys):
    _, board = told(capsys, *runs, "--by", "model")
    assert [(entry["label"], entry["n"], entry["clusters"]) for entry in board["entries"]] == [
        ("able", 120, 60),
        ("weak", 120, 60),
    ]
    assert "parity: every entry is averaged over the prompts kind@1, rude@1" in board["notes"]


def test_samples_that_not_all_have_are_left_out_and_said(runs, tmp_path, capsys):
    short = evaluated(tmp_path / "s", "short", 10, limit=40)
    _, board = told(capsys, runs[0], short)
    assert (board["shared"], board["excluded"]) == (40, 20)
    assert any("rest on the 40 of 60 samples" in note and "short · kind@1" in note for note in board["notes"])
    able = next(entry for entry in board["entries"] if entry["label"] == "able · kind@1")
    assert (able["n"], able["all"]["n"]) == (40, 60)


def test_attempts_that_the_harness_lost_are_missing_and_not_wrong(runs, tmp_path, capsys):
    lossy = evaluated(tmp_path / "l", "lossy", 0, faults=[Fault("error", 0.08, None)])
    _, board = told(capsys, runs[0], lossy)
    lost = [entry for entry in board["entries"] if entry["model"] == "lossy"]
    assert all(entry["failed"] > 0 and entry["value"] == 1.0 for entry in lost)
    assert board["shared"] < 60


def test_other_data_under_the_same_ids_are_not_joined(runs, tmp_path, capsys):
    folder = tmp_path / "o"
    other = evaluated(folder, "other", 10, count=59)
    _, board = told(capsys, runs[0], other)
    assert (board["shared"], board["excluded"]) == (59, 1)
    assert any("the data differ between runs" in note for note in board["notes"])


def test_one_name_for_two_models_makes_two_entries(runs, tmp_path, capsys):
    again = evaluated(tmp_path / "again", "again", 30, model="able")
    _, board = told(capsys, runs[0], again)
    assert {entry.get("run") for entry in board["entries"]} == {"able", "again"}
    assert len(board["entries"]) == 4
    assert any("an entry of its own" in note for note in board["notes"])


def test_differences_are_said(runs, tmp_path, capsys):
    warm = evaluated(tmp_path / "w", "warm", 10, sampling={"temperature": 0.7})
    _, board = told(capsys, runs[0], warm)
    assert any(note.startswith("parity: the sampling differs between entries") for note in board["notes"])


def test_epochs_are_clustered_by_sample(tmp_path, capsys):
    twice = evaluated(tmp_path / "t", "twice", 20, count=30, epochs=3, sampling={"temperature": 1.0})
    _, board = told(capsys, twice)
    first = board["entries"][0]
    assert (first["n"], first["clusters"]) == (90, 30)
    assert first["method"].endswith("clustered")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "nosuch"], "has no metric 'nosuch'"),
        (["--task", "nosuch"], "no run has a task 'nosuch'"),
        (["--by", "colour"], "allowed are model, prompt"),
    ],
)
def test_wrong_names_are_refused(runs, capsys, arguments, words):
    assert run(["board", str(runs[0]), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_the_same_run_twice_is_refused(runs, capsys):
    assert run(["board", str(runs[0]), str(runs[0])]) == 2
    assert "is the same run as" in capsys.readouterr().err


def test_a_run_without_a_seal_or_with_another_score_is_refused(tmp_path, capsys):
    path = evaluated(tmp_path / "b", "broken", 10, count=10)
    scores = path / "scores" / "0000.jsonl"
    scores = scores if scores.exists() else next((path / "scores").glob("*.jsonl"))
    scores.write_text(scores.read_text().replace('"accuracy":false', '"accuracy":true', 1))
    assert run(["board", str(path)]) == 1
    assert "SHA-256" in capsys.readouterr().err
    (path / "manifest.json").unlink()
    assert run(["board", str(path)]) == 2
    assert "never sealed" in capsys.readouterr().err


def test_files_hold_what_the_document_holds(runs, tmp_path, capsys):
    names = {kind: tmp_path / f"board.{kind}" for kind in ("csv", "markdown", "html")}
    code, board = told(capsys, *runs, *(word for kind, path in names.items() for word in (f"--{kind}", path)))
    assert code == 0
    assert set(board["files"]) == set(names)
    rows = list(csv.DictReader(names["csv"].read_text().splitlines()))
    assert [float(row["value"]) for row in rows] == [entry["value"] for entry in board["entries"]]
    table = names["markdown"].read_text()
    assert table.count("\n| ") == 1 + len(rows)
    page = names["html"].read_text()
    assert 'class="heat"' in page
    assert "Is 1 even?" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page)


def test_the_terminal_has_a_table_and_the_statement(runs, capsys):
    assert run(["board", *map(str, runs)]) == 0
    out = capsys.readouterr().out
    assert "able" in out
    assert "is the best of 4" in out


def test_a_dropped_journal_reads_the_same(runs, tmp_path, capsys):
    spec = {"count": 20}
    first = evaluated(tmp_path / "c", "columnar", 10, **spec)
    _, before = told(capsys, first)
    # As `--compact drop` would have sealed it: the same lines, as Parquet only.
    folder = RunFolder(first)
    compact(folder, (), "drop", 20)
    manifest = json.loads(folder.manifest.read_text())
    folder.manifest.unlink()
    seal(folder, folder.plan(), command=manifest["command"], environment={}, compact="off")
    _, after = told(capsys, first)
    assert before["entries"] == after["entries"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scored", "ten"),
        ("scored", 9),
        ("cell", 1),
        ("cost", {"amount": "much", "currency": "EUR"}),
        ("model", "other"),
    ],
)
def test_results_that_assay_does_not_write_are_refused_though_sealed(tmp_path, capsys, key, value):
    path = evaluated(tmp_path / "h", "hostile", 10, count=10)
    results = json.loads((path / "results.json").read_text())
    results["cells"][0][key] = value
    (path / "results.json").write_text(json.dumps(results))
    (path / "manifest.json").unlink()
    folder = RunFolder(path)
    seal(folder, folder.plan(), command=["x"], environment={})
    assert run(["board", str(path)]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture(scope="module")
def judged_run(tmp_path_factory):
    """A run of two prompts that ada judged whole, and its copy in which the last answer of each is pending."""
    folder = tmp_path_factory.mktemp("judged")
    path = evaluated(folder, "judged", 10, count=20, epochs=2, sampling={"temperature": 1.0})
    judging.export(assay.open(path), folder / "q.csv", anchors=True)
    part = folder / "part"
    shutil.copytree(path, part)
    held = {item["id"]: item["cell"] for item in key_of(path)["items"] if item["kind"] == "candidate"}
    last = [next(id for id, cell in reversed(held.items()) if cell == wanted) for wanted in (0, 1)]
    hand_in(folder, part, lambda row: None if row["id"] in last else opinion(row), partial=True)
    hand_in(folder, path, opinion)
    return path, part


def key_of(path):
    (key,) = (path / "judging" / "exports").glob("*.json")
    return json.loads(key.read_text())


def opinion(row):
    number = int(row["digest"][1:], 16)
    return {"fit": 1 + number % 3, "ease": number % 5 / 4, "comment": "<script>alert(1)</script> well"}


def hand_in(folder, path, said, **more):
    judged.apply(judging.fill(folder / "q.csv", folder / "a.csv", said), "ada", [path], **more)


def test_judged_cells_are_ranked_by_their_composite(judged_run, capsys):
    path, _ = judged_run
    code, board = told(capsys, path)
    assert (code, board["metric"]["name"]) == (0, "fit-v1.composite")
    cells = json.loads((path / "judged.json").read_text())["rubrics"][0]["cells"]
    for cell in cells:
        (entry,) = [entry for entry in board["entries"] if entry["prompt"] == cell["prompt"]]
        found = cell["composite"]
        assert [entry[name] for name in ("value", "low", "high", "n", "clusters")] == pytest.approx(
            [found[name] for name in ("value", "low", "high", "n", "clusters")]
        )
        assert entry["metrics"]["fit-v1.ease"]["value"] == pytest.approx(cell["dimensions"]["ease"]["value"])
    assert board["entries"][0]["rank"] == 1
    assert sum(entry["best"] for entry in board["entries"]) == pytest.approx(1)
    assert board["winner"]["corrected"] <= board["winner"]["value"]
    assert any("ada (person, 80 judgements)" in note for note in board["notes"])
    assert any("is marked" in note for note in board["notes"])


def test_a_short_name_and_the_full_one_are_the_same(judged_run, capsys):
    path, _ = judged_run
    boards = [told(capsys, path, "--metric", name)[1]["entries"] for name in ("ease", "fit-v1.ease")]
    assert boards[0] == boards[1]
    assert told(capsys, path, "--metric", "accuracy")[1]["metric"]["kind"] == "pass"
    assert run(["board", str(path), "--metric", "beauty"]) == 2
    assert "fit-v1.composite" in capsys.readouterr().err


def test_cells_that_wait_for_judges_are_pending_and_have_no_rank(judged_run, capsys):
    _, part = judged_run
    _, board = told(capsys, part)
    assert [(entry["value"], entry["rank"], entry["pending"]) for entry in board["entries"]] == [(None, None, 1)] * 2
    assert board["winner"] is None
    assert run(["board", str(part)]) == 0
    assert "pending" in capsys.readouterr().out


def test_the_page_shows_what_judges_said(judged_run, tmp_path, capsys):
    path, _ = judged_run
    told(capsys, path, "--html", tmp_path / "board.html")
    text = (tmp_path / "board.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; well" in text and "ada (person)" in text


@pytest.mark.parametrize("name", ["judgements/0000.jsonl", "judging/rubrics/fit-v1.md", "judgements/0001.jsonl"])
def test_judgements_that_are_not_the_sealed_ones_are_refused(judged_run, tmp_path, capsys, name):
    path = shutil.copytree(judged_run[0], tmp_path / "run")
    with (path / name).open("ab") as file:
        file.write(b"\n")
    assert run(["board", str(path)]) == 1
    assert name in capsys.readouterr().err


def test_judged_pairs_beside_the_judgements_change_nothing(judged_run, tmp_path, capsys):
    path = shutil.copytree(judged_run[0], tmp_path / "run")
    _, before = told(capsys, path)
    folder = RunFolder(path)
    folder.manifest.unlink()
    (path / "judgements" / "pairs").mkdir()
    (path / "judgements" / "pairs" / "0000.jsonl").write_text("{}\n")
    seal(folder, folder.plan(), command=["x"], environment={})
    code, after = told(capsys, path)
    assert (code, after["entries"]) == (0, before["entries"])
