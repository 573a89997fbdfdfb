"""Plug-ins by name: the built-in one wins, and whatever is wrong with another is said."""

from importlib.metadata import EntryPoint

import pytest

from assay import plugins
from assay.errors import ConfigError, MachineError
from assay.plugins import Plugins

WORDS = Plugins("assay.words", str, "word", asked="name", where="--word")


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    values = (
        ("own", "elsewhere:OWN"),
        ("own", "assay.version:__version__"),
        ("gone", "nosuch:X"),
        ("number", "math:pi"),
    )
    found = [EntryPoint(name, value, WORDS.group) for name, value in values]
    plugins.entries.cache_clear()
    monkeypatch.setattr(plugins, "entry_points", lambda group: found)
    yield
    plugins.entries.cache_clear()


def test_no_package_takes_a_built_in_name_over():
    assert WORDS.names() == ("gone", "number", "own")
    assert isinstance(WORDS.find("own"), str)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError) as found:
        WORDS.find("numbr")
    (problem,) = found.value.problems
    assert (problem.message, problem.where) == ("there is no name 'numbr'", "--word")
    assert (problem.nearest, problem.allowed) == ("number", "gone, number, own")


@pytest.mark.parametrize(
    ("name", "said"), [("gone", "the word 'gone'.*does not load"), ("number", "no word but float")]
)
def test_what_does_not_load_or_is_something_else_is_the_machine_s(name, said):
    with pytest.raises(MachineError, match=said):
        WORDS.find(name)
