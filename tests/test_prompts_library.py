from pathlib import Path

import pytest

from assay.errors import ConfigError
from assay.prompts.library import find, names
from assay.tasks import registry

EXAMPLES = Path(__file__).parent.parent / "examples"
BUILT_IN = {
    "boolq@1": "325ae8abfc5d50d0",
    "choice@1": "6e11de3634bc15be",
    "code@1": "8677b27d5c3e29af",
    "gsm8k@1": "62fd2f25ee92082f",
    "instruct@1": "b9a3842110be3323",
    "judge-pairwise@1": "f4f2f07ed828e883",
    "judge-rubric@1": "13caa49610de4444",
    "mbpp@1": "99bf7f064bd6c391",
    "routing@1": "100bfb2d48f6b80b",
    "text@1": "9b2fb1414aec9561",
    "tips-few-shot@1": "80ce30af80ae770f",
    "tips-mentor@1": "c23f0444113ff3a7",
    "tips-plain@1": "c1a0ab5105b0894e",
}


def test_digests_of_the_built_in_prompts():
    """A change here changes what is asked: raise the prompt's version with it."""
    assert {f"{name}@{find(name).version}": find(name).digest[:16] for name in names()} == BUILT_IN


def test_file_names_are_the_ids():
    assert [find(name).id for name in names()] == list(names())


def test_every_task_s_own_prompt_exists():
    assert {registry.find(name).prompt for name in registry.names()} <= set(names())


def test_a_path_is_read_from_disk():
    assert find(str(EXAMPLES / "terse.md")).id == "terse"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("boolk", "unknown prompt 'boolk'\n    did you mean 'boolq'?\n    allowed: default, boolq, choice, code, "
         "gsm8k, instruct, judge-pairwise, judge-rubric, mbpp, routing, text, tips-few-shot, tips-mentor, tips-plain, "
         "or a file ending in .md"),
        ("default", "'default' stands for each task's own prompt"),
        ("nowhere.md", "nowhere.md: cannot be read: No such file or directory"),
        ("../boolq", "unknown prompt '../boolq'"),
        ("", "unknown prompt ''"),
    ],
)  # fmt: skip
def test_an_unknown_prompt_names_the_nearest(name, message):
    with pytest.raises(ConfigError) as found:
        find(name)
    assert str(found.value).startswith(message)
