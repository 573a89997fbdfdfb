import pytest

from assay.errors import ConfigError
from assay.spec.load import load


@pytest.fixture
def spec(tmp_path):
    def spec(text):
        path = tmp_path / "spec.yaml"
        path.write_text("models: [m]\ntasks: [t]\n" + text)
        return load(path)

    return spec


def complaint(spec, text):
    with pytest.raises(ConfigError) as found:
        spec(text)
    return [str(problem).split("spec.yaml")[1] for problem in found.value.problems]


def test_declared_variables_expand(spec, monkeypatch):
    monkeypatch.setenv("WHO", "me")
    monkeypatch.setenv("WHERE", "here")
    found = spec("env: [WHO, WHERE]\ndescription: ${WHO} is ${WHERE}, $$5, $${WHO}, $WHO")
    assert found.description == "me is here, $5, ${WHO}, $WHO"


def test_what_a_variable_holds_is_not_expanded_again(spec, monkeypatch):
    monkeypatch.setenv("OUTER", "${INNER}")
    assert spec("env: [OUTER]\ndescription: ${OUTER}").description == "${INNER}"


def test_an_undeclared_variable_is_an_error(spec, monkeypatch):
    monkeypatch.setenv("WHO", "me")
    assert complaint(spec, "description: ${WHO}") == [
        ":3: description: ${WHO} is not declared in 'env:'\n    allowed: none: this spec has no 'env:' list"
    ]
    assert complaint(spec, "env: [WHO]\ndescription: ${WHOM}") == [
        ":4: description: ${WHOM} is not declared in 'env:'\n    did you mean 'WHO'?\n    allowed: WHO"
    ]


def test_an_unset_variable_is_an_error(spec, monkeypatch):
    monkeypatch.delenv("WHO", raising=False)
    assert complaint(spec, "env: [WHO]\nname: ${WHO}") == [":4: name: ${WHO}: the environment variable WHO is not set"]


def test_an_open_reference_is_an_error(spec):
    assert complaint(spec, "description: ${WHO") == [
        ":3: description: '${' without '}'\n    allowed: ${NAME}, or $${ for the text '${'"
    ]


def test_what_a_variable_holds_must_fit(spec, monkeypatch):
    monkeypatch.setenv("WHO", "not a name")
    assert "must be a name" in complaint(spec, "env: [WHO]\nname: ${WHO}")[0]


def test_a_secret_from_the_environment_is_refused_and_not_shown(spec, monkeypatch):
    monkeypatch.setenv("URL", "https://me:hunter2@example.org/")
    told = complaint(spec, "env: [URL]\ndescription: ${URL}")
    assert told[0].startswith(":4: description: this looks like a URL with a password (31 characters, not shown)")
    assert "hunter2" not in told[0]


def test_env_itself_must_be_a_list_of_names(spec):
    assert complaint(spec, "env: HOME\ndescription: ${HOME}")[0].startswith(":3: env: must be a list")
