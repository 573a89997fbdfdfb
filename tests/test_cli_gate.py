import json
import xml.etree.ElementTree as ElementTree

import pytest

import assay
from assay.cli.main import run
from support.evals import spec
from support.gated import policy
from support.stub import Stub, digest


def answering(wrong):
    def answer(prompt, seed):
        number = int(prompt.split("Is ")[1].split(" ")[0])
        odd = number % 2 == (digest("wrong", number) % 100 >= wrong)
        return "no" if odd else "yes"

    return answer


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of 60 questions whose answers are right for 95 % (twice), for 50 %, and two prompts in one."""
    folder = tmp_path_factory.mktemp("runs")
    for name, wrong in (("base", 5), ("same", 5), ("worse", 50)):
        with Stub(answer=answering(wrong)) as stub:
            assay.evaluate(spec(folder, stub.url, 60), out=folder / name)
    (folder / "policy.json").write_text(json.dumps(policy(0.1)))
    return folder


def gated(runs, capsys, *arguments):
    code = run(["gate", *arguments, "--policy", str(runs / "policy.json"), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "verdict", "code"),
    [
        (("run", "base"), "PASS", 0),
        (("compare", "base", "same"), "ACCEPT", 0),
        (("compare", "base", "worse"), "REGRESSION", 1),
        (("compare", "worse", "base"), "ANOMALOUS", 4),
        (("aa", "base", "same"), "PASS", 0),
        (("aa", "base"), "INFEASIBLE", 5),
    ],
)
def test_the_verdict_is_the_exit_code_and_is_kept(runs, capsys, arguments, verdict, code):
    command, *names = arguments
    found, document = gated(runs, capsys, command, *(str(runs / name) for name in names))
    assert (found, document["verdict"], document["exit_code"]) == (code, verdict, code)
    kept = [json.loads(path.read_bytes()) for path in (runs / names[-1] / "verdicts").glob(f"{command}-*.json")]
    assert document in kept


def test_an_undecided_one(runs, capsys, tmp_path):
    (tmp_path / "policy.json").write_text(json.dumps(policy(0.01)))
    arguments = ["compare", str(runs / "base"), str(runs / "same"), "--policy", str(tmp_path / "policy.json")]
    assert run(["gate", *arguments]) == 3
    shown = capsys.readouterr()
    assert shown.out.startswith("INCONCLUSIVE\n")
    assert "about 299 samples would decide it" in shown.out
    assert "verdict: " in shown.err


def test_junit_and_summary(runs, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    junit = tmp_path / "gate.xml"
    code, document = gated(runs, capsys, "compare", str(runs / "base"), str(runs / "worse"), "--junit", str(junit))
    suite = ElementTree.parse(junit).getroot()
    failed = [case for case in suite if case.find("failure") is not None]
    assert (code, suite.get("failures"), len(failed)) == (1, "1", 1)
    assert int(suite.get("tests")) == len(document["checks"])
    summary = (tmp_path / "summary.md").read_text()
    assert "## ❌ assay gate compare: REGRESSION" in summary
    assert "| parity | supporting | 60 |" in summary


def test_a_summary_that_cannot_be_written_changes_no_verdict(runs, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "nowhere" / "summary.md"))
    assert gated(runs, capsys, "run", str(runs / "base"))[0] == 0


def test_verdicts_verify_and_a_changed_one_does_not(runs, capsys):
    assert gated(runs, capsys, "compare", str(runs / "base"), str(runs / "same"))[0] == 0
    assert run(["verify", str(runs / "same")]) == 0
    kept = [path for path in (runs / "same" / "verdicts").glob("compare-*.json") if b'"ACCEPT"' in path.read_bytes()]
    path, whole = kept[0], kept[0].read_bytes()
    path.write_bytes(whole.replace(b'"exit_code": 0', b'"exit_code": 1'))
    assert run(["verify", str(runs / "same")]) == 1
    path.write_bytes(whole)
    capsys.readouterr()


def test_two_prompts_of_one_run(runs, capsys, tmp_path):
    terse = tmp_path / "terse.md"
    terse.write_text("---\nid: terse\nversion: 1\ndescription: one word\n---\n{{ input }} One word.\n")
    with Stub(answer=answering(5)) as stub:
        path = assay.evaluate(spec(tmp_path, stub.url, 60, prompts=["default", str(terse)]), out=tmp_path / "run").path
    names = [cell["prompt"] for cell in assay.open(path).results["cells"]]
    plain = ["compare", str(path), str(path)]
    code, document = gated(runs, capsys, *plain)
    assert (code, document["failure_class"]) == (5, "USER_CONFIG_ERROR")
    chosen = ["--baseline-prompt", names[0], "--candidate-prompt", names[1]]
    assert gated(runs, capsys, *plain, *chosen)[0] == 4
    (tmp_path / "policy.json").write_text(json.dumps(policy(0.1, allow=["prompt"])))
    assert gated(tmp_path, capsys, *plain, *chosen)[0] == 0
    assert run(["verify", str(path)]) == 0
    assert run(["gate", *plain, "--baseline-prompt", "no", "--policy", str(tmp_path / "policy.json")]) == 2
    assert names[0] in capsys.readouterr().err


def test_a_run_that_is_not_sealed_gets_no_file(runs, capsys, tmp_path):
    import shutil

    path = shutil.copytree(runs / "base", tmp_path / "run", ignore=shutil.ignore_patterns("verdicts"))
    (path / "manifest.json").unlink()
    code, document = gated(runs, capsys, "run", str(path))
    assert (code, document["verdict"]) == (1, "FAIL")
    assert not (path / "verdicts").exists()


def test_no_run_and_no_policy(runs, capsys, tmp_path):
    assert run(["gate", "run", str(tmp_path), "--policy", str(runs / "policy.json")]) == 2
    assert run(["gate", "run", str(runs / "base"), "--policy", str(tmp_path / "none.yaml")]) == 2
    assert run(["gate", "run", str(runs / "base")]) == 2
    capsys.readouterr()


def test_policy_init_and_check(capsys, tmp_path):
    path = tmp_path / "policy.yaml"
    assert run(["gate", "policy", "init", str(path)]) == 0
    assert run(["gate", "policy", "init", str(path)]) == 2
    capsys.readouterr()
    assert run(["gate", "policy", "check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["content"]["defaults"]["margin"] == 0.02
    path.write_text(path.read_text().replace("margin: 0.02 ", "margin: -1 "))
    assert run(["gate", "policy", "check", str(path)]) == 2
    assert "defaults.margin: must be a number from 1e-9" in capsys.readouterr().err


def test_compare_shows_the_same_to_a_person(runs, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["compare", str(runs / "base"), str(runs / "worse")]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("REGRESSION\n")
    assert "no policy was given: a margin of 2 points" in shown.err
    text = (tmp_path / "compare-base-worse.html").read_text()
    assert text.count('class="flip"') == 20
    assert "even?" in text  # what was asked
    arguments = ["compare", str(runs / "base"), str(runs / "same"), "--policy", str(runs / "policy.json")]
    assert run([*arguments, "--html", str(tmp_path / "page.html"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["result"]["verdict"]) == ("assay.comparison.v1", "ACCEPT")
    assert "No sample changed sides" in (tmp_path / "page.html").read_text()
