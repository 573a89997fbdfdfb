from __future__ import annotations

import json

import pytest

from assay.cli.main import run
from support.checkpoints import LINEAR, candidate, quantized, source


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A source, a sound candidate, one that is not quantized, and one that is cut."""
    place = tmp_path_factory.mktemp("checkpoints")
    source(place / "source")
    candidate(place / "good", "FP8_DYNAMIC")
    candidate(place / "bad", "FP8_DYNAMIC", quantized("FP8_DYNAMIC", only=LINEAR[:1]))
    cut = candidate(place / "cut", "FP8_DYNAMIC") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-9])
    return place


def gate(folder, name, recipe, *more):
    paths = ["--source", str(folder / "source"), "--checkpoint", str(folder / name)]
    return run(["gate", "ptq", *paths, "--recipe", str(recipe), *more])


@pytest.mark.parametrize(
    ("name", "recipe", "verdict", "kind", "code"),
    [
        ("good", "FP8_DYNAMIC", "PASS", None, 0),
        ("bad", "FP8_DYNAMIC", "FAIL", "QUANT_COVERAGE_FAILURE", 1),
        ("cut", "FP8_DYNAMIC", "FAIL", "EVIDENCE_INVALID", 1),
        ("good", "FP8_DYNAMIC-experts-only", "INFEASIBLE", "MODEL_UNSUPPORTED", 5),
        ("good", "Q8_0", "INFEASIBLE", "USER_CONFIG_ERROR", 5),
    ],
)
def test_the_verdict_is_the_exit_code(folder, capsys, tmp_path, monkeypatch, name, recipe, verdict, kind, code):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    out, junit = tmp_path / "verdict.json", tmp_path / "verdict.xml"
    assert gate(folder, name, recipe, "--json", "--out", str(out), "--junit", str(junit)) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["gate"]) == ("assay.gate.v1", "ptq")
    assert (document["verdict"], document["failure_class"], document["exit_code"]) == (verdict, kind, code)
    assert json.loads(out.read_text()) == document
    assert len({item["sha256"] for item in document["inputs"] if item["sha256"]}) == (1 if name == "cut" else 2)
    assert ("<failure" in junit.read_text()) == (code != 0)
    assert verdict in (tmp_path / "summary.md").read_text()


def test_for_people(folder, capsys):
    assert gate(folder, "good", "FP8_DYNAMIC") == 0
    shown = capsys.readouterr().out
    assert "PASS" in shown
    assert "all 14 targeted layers are quantized" in shown
    assert "linear layers: 75,776 of 147,456 bytes, 0.514" in shown


def test_a_recipe_from_a_file(folder, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(
        "schema: assay.recipe.v1\nname: own\nbase: FP8_DYNAMIC\nignore: ['*.down_proj']\n"
    )
    assert gate(folder, "good", tmp_path / "own.yaml", "--json") == 1
    assert json.loads(capsys.readouterr().out)["policy"]["name"] == "own"


@pytest.mark.parametrize(
    ("name", "recipe", "said"),
    [
        ("good", "fp8", "no recipe 'fp8'"),
        ("good", "none.yaml", "none.yaml"),
        ("none", "FP8_DYNAMIC", "no checkpoint"),
    ],
)
def test_wrong_input(folder, capsys, name, recipe, said):
    assert gate(folder, name, recipe) == 2
    assert said in capsys.readouterr().err


def test_inspect(folder, capsys):
    assert run(["checkpoint", "inspect", str(folder / "good")]) == 0
    shown = capsys.readouterr().out
    assert "F8_E4M3" in shown
    assert "says of itself: compressed-tensors" in shown
    assert run(["checkpoint", "inspect", str(folder / "good"), "--json", "--digest"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], len(document["tensors"]), len(document["sha256"])) == ("assay.checkpoint.v1", 34, 64)


def test_inspect_of_what_is_broken(folder, capsys):
    assert run(["checkpoint", "inspect", str(folder / "cut"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["failure_class"]) == ("assay.error.v1", "EVIDENCE_INVALID")
    assert run(["checkpoint", "inspect", str(folder / "none")]) == 2
