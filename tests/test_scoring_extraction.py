import gzip
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.scoring.extraction import LONGEST, Problem, extract

PROMPT = '''from typing import List


def helper(x):
    return x + 1


def total(numbers: List[int]) -> int:
    """Add them up.
    >>> total([1, 2])
    3
    """
'''
PREAMBLE = "from typing import List\n\n\ndef helper(x):\n    return x + 1\n"
HUMANEVAL = Problem("total", PROMPT)
MBPP = Problem("total")
WHOLE = "def total(numbers):\n    return sum(numbers)"
BODY = "    return sum(numbers)\n"


def run(source):
    """What the extracted program makes of [1, 2, 4]; these sources are the test's own."""
    space = {}
    exec(compile(source, "<extracted>", "exec"), space)
    return space["total"]([1, 2, 4])


@pytest.mark.parametrize(
    ("answer", "strategy"),
    [
        (WHOLE, "whole"),
        (f"```python\n{WHOLE}\n```", "fenced"),
        (f"```\n{WHOLE}\n```", "fenced"),
        (f"``` Python3\n{WHOLE}\n```", "fenced"),
        (f"```{{.python}}\n{WHOLE}\n```", "fenced"),
        (f"~~~py\n{WHOLE}\n~~~", "fenced"),
        (f"`````python\nx = '''\n```\n'''\n{WHOLE}\n`````", "fenced"),
        (f"Sure! Here it is:\n\n```python\n{WHOLE}\n```\nIt adds them up.", "fenced"),
        (f"```python\r\n{WHOLE}\r\n```\r\n".replace("\n    ", "\r\n    "), "fenced"),
        ("1. So:\n   ```python\n   def total(numbers):\n       return sum(numbers)\n   ```\n", "fenced"),
        (f"Sure:\n```python\n{WHOLE}", "fenced"),  # never closed
        (f"```python\n1/0\n```python\n{WHOLE}\n```", "fenced"),  # the first one never closed
        (f"```bash\npip install x\n```\n```python\n{WHOLE}\n```\n```text\n7\n```", "fenced"),
        (f"```python\n1/0\n```\nNo:\n```python\n{WHOLE}\n```", "fenced"),
        (f"```python\n{WHOLE}\n```\nExample usage:\n```python\ntotal(3)\n```", "fenced"),
        (f"```\n\n```python\n{WHOLE}\n```", "fenced"),  # begins with the end of a fence
        (f"{WHOLE}\n```\n\nThis function adds them up.", "head"),
        (f"{WHOLE}\n```\n[Task End", "head"),
        (f"{WHOLE}\n\nExample:\n```python\ntotal(3)\n```", "head"),
        (f"{WHOLE}\n\nThis function adds them up.", "whole"),
        (f"{WHOLE}\n\nExplanation:\nit adds", "whole"),
        (f"Here is the function you want:\n\n{WHOLE}", "whole"),
        (f"{WHOLE}\n<|im_end|>\n<|im_start|>user\nThanks", "whole"),
        (f"{WHOLE}</s>", "whole"),
        ('def total(numbers):\n    """\n    ```\n    total([])\n    ```\n    """\n    return sum(numbers)', "whole"),
        ("total = lambda numbers: sum(numbers)", "whole"),
    ],
)
@pytest.mark.parametrize("problem", [HUMANEVAL, MBPP])
def test_a_whole_function_is_found(problem, answer, strategy):
    found = extract(answer, problem)
    assert run(found.source) == 7
    assert (found.strategy, found.form, found.found) == (strategy, "program", True)
    assert found.code in answer.replace("\n   ", "\n") or found.code in answer


@pytest.mark.parametrize(
    ("answer", "strategy"),
    [
        (BODY, "whole"),
        (f"\n{BODY}", "whole"),
        ("\tt = sum(numbers)\n\treturn t", "whole"),
        (f"{BODY}\n\ndef other():\n    pass\n", "whole"),
        (f"{BODY}```\n\nThis function adds them up.", "head"),
        (f"{BODY}\n```python\ndef total(numbers):\n    return 0\n```", "head"),
        (f"{BODY}\nThis function adds them up.\n", "whole"),
        (f"{BODY}<|endoftext|>def total(", "whole"),
        (f"```python\n{BODY}```", "fenced"),
        (f"Continue so:\n```\n{BODY}```\nDone.", "fenced"),
    ],
)
def test_a_continuation_is_found(answer, strategy):
    found = extract(answer.replace("\tt =", "    t =").replace("\treturn", "    return"), HUMANEVAL)
    assert run(found.source) == 7
    assert (found.strategy, found.form, found.found) == (strategy, "completion", True)
    assert found.source.startswith(PROMPT)


@pytest.mark.parametrize(
    "answer",
    [
        "return sum(numbers)",
        "t = sum(numbers)\n    return t",
        "t = 0\n    for n in numbers:\n        t += n\n    return t",
        "for n in [1]:\n        numbers = [sum(numbers)]\n    return numbers[0]\n\ndef other():\n    pass",
        "t = 0\nfor n in numbers:\n    t += n\n\nreturn t\n",
        "```python\nt = sum(\n    numbers\n)\nreturn t\n```",
    ],
)
def test_a_body_that_lost_its_indentation_gets_it_back(answer):
    with pytest.raises(SyntaxError):
        compile(PROMPT + answer, "<as it is>", "exec")
    assert run(extract(answer, HUMANEVAL).source) == 7


def test_what_is_python_without_it_keeps_its_indentation():
    for answer in ("for x in [1]:\n    print(x)\n", "x = [\n    1,\n]\n", "print(total([1]))\n"):
        assert extract(answer, HUMANEVAL).source == PROMPT + answer


def test_the_prompts_imports_and_helpers_stand_before_a_whole_function():
    found = extract("def total(numbers: List[int]):\n    return helper(sum(numbers)) - 1", HUMANEVAL)
    assert found.source.startswith(PREAMBLE)
    assert run(found.source) == 7
    assert PROMPT.startswith(HUMANEVAL.preamble)


def test_imports_from_the_future_stay_first():
    found = extract(f"from __future__ import annotations\n{WHOLE}", HUMANEVAL)
    assert found.source.startswith("from __future__ import annotations\n")
    assert run(found.source) == 7


def test_a_prompt_that_is_no_program_by_itself_is_no_obstacle():
    assert run(extract(WHOLE, Problem("total", "@print\ndef total(numbers):\n")).source) == 7
    assert extract(WHOLE, Problem("total", "# no function here\n")).source.startswith("# no function here\n")


CUT = f'{BODY}\ndef total_of_totals(lists):\n    """Add\n    >>> total_of'


def test_a_statement_that_the_token_limit_cut_is_left_out_where_the_function_was_whole():
    with pytest.raises(SyntaxError):
        run(extract(CUT, HUMANEVAL).source)
    assert run(extract(CUT, HUMANEVAL, cut=True).source) == 7
    assert run(extract(f"{WHOLE}\n\n@print\ndef more(", MBPP, cut=True).source) == 7
    assert run(extract(f"```python\n{WHOLE}\nclass A(", MBPP, cut=True).source) == 7


def test_a_function_that_the_token_limit_cut_stays_cut():
    for answer in ("    total = (", "    if numbers:\n        return su"):
        assert extract(answer, HUMANEVAL, cut=True).source == PROMPT + answer
    for answer in ("def total(numbers):\n    return (", "x = 1\ndef total(numb"):
        assert extract(answer, MBPP, cut=True).source == answer
    closed = f"```python\n{WHOLE}\nx = 1\n```\nThis is"
    assert extract(closed, MBPP, cut=True).code == f"{WHOLE}\nx = 1"


@pytest.mark.parametrize(
    "answer", ["I cannot do that.", "total adds numbers", "", "\n", "```\n```", "```text\nno\n```"]
)
def test_an_answer_without_code_is_told(answer):
    for problem in (HUMANEVAL, MBPP):
        assert not extract(answer, problem).found


def test_code_that_looks_a_little_like_prose_stays():
    for line in (
        "Node in seen",
        "Total = sum",
        "None if 1 else 2",
        "Text = '''\nThis is the text\n'''",
        "Int: int = 3",
    ):
        answer = f"{WHOLE}\n{line}\n"
        assert extract(answer, MBPP).source == answer


def test_fenced_takes_nothing_but_a_block():
    assert run(extract(f"```\n{WHOLE}\n```", MBPP, "fenced").source) == 7
    assert run(extract(f"So:\n```\n{BODY}```", HUMANEVAL, "fenced").source) == 7
    found = extract(WHOLE, MBPP, "fenced")
    assert (found.source, found.strategy, found.found) == ("", "fenced", False)
    given = extract(WHOLE, MBPP, "fenced", "program")
    assert (given.source, given.strategy) == (WHOLE, "verbatim")


@given(st.text())
def test_verbatim_changes_nothing(text):
    assert extract(text, HUMANEVAL, "verbatim").source == PROMPT + text
    assert extract(text, MBPP, "verbatim").source == text
    for mode in ("auto", "verbatim"):
        assert extract(text, HUMANEVAL, mode, "completion").source == PROMPT + text
        assert extract(text, HUMANEVAL, mode, "program").source == text
    assert extract(text, HUMANEVAL, form="program").strategy == "verbatim"


pieces = st.lists(
    st.sampled_from(
        ["```", "```python", "~~~~", "    ", "\n", "\r\n", "\t", '"""', "'''", "def total(", "return", ":", "</s>", "#",
         "This is", "<|im_end|>", "from __future__ import annotations", "@x", "total =", ")", "import x", "é\ud800"]
    ) | st.text(max_size=5)
).map("".join)  # fmt: skip


@given(pieces, st.sampled_from([HUMANEVAL, MBPP]), st.sampled_from(["auto", "fenced"]), st.booleans())
def test_every_text_has_a_program_made_of_its_own_lines(text, problem, mode, cut):
    found = extract(text, problem, mode, cut=cut)
    mine = {line.strip() for line in text.split("\n")}
    assert all(line.strip() in mine or any(line.strip() in whole for whole in mine) for line in found.code.split("\n"))
    if found.form == "completion":
        assert found.source.startswith(PROMPT)
        assert found.source.endswith(found.code)
    assert extract(text, problem, mode, cut=cut) == found


@given(st.from_regex(r"(    [a-z]+ = [a-z0-9]+\n){1,5}", fullmatch=True))
def test_plain_code_is_left_alone(body):
    assert extract(body, HUMANEVAL).source == PROMPT + body
    whole = f"def total(x):\n{body}"
    assert extract(whole, MBPP).source == whole
    assert extract(f"Here:\n```python\n{whole}```\nBye.", MBPP).source == whole.rstrip("\n")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit",
    ["`", "```\n", "```python\n", "``` x\n~~~\n", "</s> ", "<|im_end|>", '"""\n', "A a", "A ", "total:", "total :\n",
     " ", "\n", "\t\n", "def total(\n", "@\n", "import a,", "from a import b\n", "a\n    ", "return\n", ")\n", "**A"],
)  # fmt: skip
def test_hostile_text_takes_linear_time(unit):
    text = unit * (200_000 // len(unit))
    for start in ("", "    x\n", "def total():\n"):
        extract(start + text, HUMANEVAL, cut=True)


def test_megabytes_are_taken_as_they_are_and_not_searched():
    text = "`" * 20_000_000
    assert extract(text, MBPP).strategy == "verbatim"
    assert extract(f"```\n{WHOLE}\n```" + " " * (LONGEST - 100), MBPP).strategy == "fenced"


@pytest.mark.data
def test_real_completions_are_left_as_they_are_and_only_broken_ones_are_mended(data):
    with gzip.open(data / "humaneval" / "HumanEval.jsonl.gz", "rt") as file:
        tasks = {row["task_id"]: row for row in map(json.loads, file)}
    with gzip.open(data / "model-samples" / "codet-codegen16b" / "labelled.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    seen = Counter()
    for row in rows:
        task = tasks[row["task_id"]]
        found = extract(row["completion"], Problem(task["entry_point"], task["prompt"]))
        same = found.form == "completion" and found.source == task["prompt"] + row["completion"]
        seen[same or row["base"], found.form] += 1
    assert set(seen) <= {(True, "completion"), ("syntax", "completion"), ("failed:AssertionError", "program")}
    assert seen[True, "completion"] > 6000
