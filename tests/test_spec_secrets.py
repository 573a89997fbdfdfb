import pytest

from assay.errors import ConfigError
from assay.spec.load import load
from assay.spec.secrets import find, find_under, mask

# Put together here, so that no scanner takes this file for a leak.
SECRETS = {
    "an API key (sk-…)": "sk-" + "proj-" + "a1B2c3D4e5F6g7H8i9J0k1L2",
    "a Hugging Face token (hf_…)": "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "a GitHub token": "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345",
    "a GitLab token (glpat-…)": "glpat-" + "abcdefghij0123456789",
    "an AWS access key (AKIA…)": "AKIA" + "IOSFODNN7EXAMPLE",
    "a Google API key (AIza…)": "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "a Slack token (xox…)": "xoxb-" + "123456789012-abcdefghijkl",
    "an NVIDIA API key (nvapi-…)": "nvapi-" + "abcdefghij0123456789abcd",
    "a Groq API key (gsk_…)": "gsk_" + "abcdefghij0123456789abcd",
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N",
    "a bearer token": "Bearer " + "abc123def456ghi789jkl",
    "a URL with a password": "https://me:" + "hunter2@example.org/v1",
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
}


@pytest.mark.parametrize(("kind", "text"), SECRETS.items())
def test_each_kind_is_found_wherever_it_stands(kind, text):
    assert find(text) == kind
    assert find(f'before "{text}", after') == kind
    assert text not in mask(f"before {text} after")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "smollm2-135m",
        "openai:gpt-4o-mini@https://api.openai.com/v1",
        "http://localhost:8000/v1",
        "a task-oriented-and-long-hyphenated-description-2024",
        "sk-learn-and-other-well-known-packages",
        "hf:org/some_model_with_a_long_name",
        "Bearer of good news, which is a rather long sentence",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "me@example.org",
        "The ratio is 3://4:5 @ noon",
    ],
)
def test_ordinary_text_is_spared(text):
    assert find(text) is None
    assert mask(text) == text


@pytest.mark.parametrize(
    ("key", "text", "kind"),
    [
        ("password", "hunter2", "a password"),
        ("client_secret", "x", "a password"),
        ("api_key", "0f8e7d6c5b4a39281706f5e4d3c2b1a0", "a secret value"),
        ("hub-token", "qwertz0815uiopasdfgh", "a secret value"),
        ("api_key", "OPENAI_API_KEY", None),
        ("api_key_env", "MY_KEY_1234567890ABC", None),
        ("monkey", "0f8e7d6c5b4a39281706f5e4d3c2b1a0", None),
        ("max_tokens", "0f8e7d6c5b4a39281706f5e4d3c2b1a0", None),
    ],
)
def test_a_key_tells_what_its_text_is(key, text, kind):
    assert find_under(key, text) == kind


@pytest.mark.parametrize("secret", SECRETS.values())
@pytest.mark.parametrize(
    "text",
    [
        "models: [m]\ntasks: [t]\ndescription: 'SECRET'",
        "models: [{model: m, api_key_env: 'SECRET'}]\ntasks: [t]",
        "models: [{model: m, options: {x: 'SECRET'}}]\ntasks: [t]",
        "models: [m]\ntasks: ['SECRET']",
        "models: [m]\ntasks: [t]\n'SECRET': 5",
        "models: [m]\ntasks: [t]\nlimit: 'SECRET'",
        "models: [m]\ntasks: [t]\nunknown: ['SECRET']",
        "models: [m]\ntasks: [t]\nprompts: 'SECRET'",
        "models: [m]\ntasks: [t]\ncache: 'SECRET'",
    ],
)
def test_a_spec_with_a_secret_is_refused_and_never_shows_it(tmp_path, text, secret):
    path = tmp_path / "spec.yaml"
    path.write_text(text.replace("SECRET", secret))
    with pytest.raises(ConfigError) as found:
        load(path)
    told = str(found.value)
    assert secret not in told
    assert secret[6:] not in told
    assert "looks like a" in told
    assert "'api_key_env: NAME'" in told
