import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.cli.main import run
from assay.prompts.diff import diff, pieces
from assay.prompts.library import read

TEXT = "---\nid: {id}\nversion: {version}\ndescription: {description}\n---\n{body}\n"


@pytest.fixture
def write(tmp_path):
    def prompt(name, body="Answer {{ input }} briefly.", id="own", version=1, description="One."):
        path = tmp_path / f"{name}.md"
        path.write_text(TEXT.format(id=id, version=version, description=description, body=body))
        return str(path)

    return prompt


def test_words_that_changed_are_marked(write, capsys):
    code = run(["prompts", "diff", write("a"), write("b", "Answer {{ input }} at length.", version=2)])
    out = capsys.readouterr().out
    assert code == 1
    assert "{{ input }} [-briefly-]{+at length+}." in out
    assert "own@1" in out
    assert "own@2" in out


def test_lines_that_changed_are_marked(write, capsys):
    code = run(["prompts", "diff", "--lines", write("a", "One\n{{ input }}"), write("b", "Two\n{{ input }}")])
    assert code == 1
    assert "- One\n+ Two\n  {{ input }}" in capsys.readouterr().out


def test_the_same_text_under_another_name_is_the_same(write, capsys):
    assert run(["prompts", "diff", write("a"), write("b", id="other", description="Two.")]) == 0
    told = capsys.readouterr()
    assert "both ask the same" in told.out
    assert "One. / Two." in told.out
    assert "two names" in told.err


def test_two_texts_of_one_version_are_pointed_out(write):
    first, second = (read_(write(name, body)) for name, body in (("a", "{{ input }}"), ("b", "{{ input }}!")))
    assert diff(first, second).notes == ["two different texts are called own@1: raise the version of one of them"]


def read_(path):
    from pathlib import Path

    return read(Path(path))


def test_built_in_prompts_and_the_document(capsys):
    assert run(["prompts", "diff", "tips-plain", "tips-mentor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["same"], told["first"]["id"]) == ("assay.prompt_diff.v1", False, "tips-plain")
    assert set(told["parts"]) == {"system", "body"}
    assert all(piece["kind"] != "old" for piece in told["parts"]["system"])


def test_an_unknown_prompt_is_refused(capsys):
    assert run(["prompts", "diff", "text", "nosuch"]) == 2


@given(
    st.text(alphabet="ab \n.", max_size=60),
    st.text(alphabet="ab \n.", max_size=60),
    st.sampled_from(["words", "lines"]),
)
def test_the_pieces_make_up_both_texts(old, new, unit):
    found = list(pieces(old, new, unit))
    assert "".join(piece.text for piece in found if piece.kind != "new") == old
    assert "".join(piece.text for piece in found if piece.kind != "old") == new
