"""The settings: what is read, what is refused and in which words, what is hidden."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.conftest import COMPLETE

from dioptra_worker import credentials, settings
from dioptra_worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def _problems() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.load()
    return caught.value.problems


@pytest.mark.usefixtures("environment")
def test_complete_environment_is_enough() -> None:
    """The six required variables are all that a daemon needs."""
    loaded = settings.load()
    assert loaded.username == "worker"
    assert loaded.password.get_secret_value() == "swordfish"
    assert loaded.isolation == "auto"
    assert loaded.preload == ()


def test_every_missing_variable_is_named(environment: MutableMapping[str, str]) -> None:
    """With nothing set, one error names each required variable with an example."""
    for name in COMPLETE:
        del environment[name]
    problems = _problems()
    assert [problem.partition(":")[0] for problem in problems] == list(COMPLETE)
    assert all("not set" in problem and "Example: " in problem for problem in problems)


def test_missing_and_malformed_are_told_together(
    environment: MutableMapping[str, str],
) -> None:
    """A missing variable does not hide a malformed one, nor the other way round."""
    del environment["DIOPTRA_WORKER_USERNAME"]
    environment["DIOPTRA_API"] = "localhost:5000"
    environment["DIOPTRA_WORKER_KILL_GRACE"] = "soon"
    named = {problem.partition(":")[0] for problem in _problems()}
    assert named == {
        "DIOPTRA_WORKER_USERNAME",
        "DIOPTRA_API",
        "DIOPTRA_WORKER_KILL_GRACE",
    }


def test_empty_counts_as_missing(environment: MutableMapping[str, str]) -> None:
    """An empty variable, as compose files make them, counts as one that is not set."""
    environment["DIOPTRA_WORKER_USERNAME"] = ""
    environment["DIOPTRA_WORKER_KILL_GRACE"] = ""
    [problem] = _problems()
    assert problem.startswith("DIOPTRA_WORKER_USERNAME: not set")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DIOPTRA_API", "localhost:5000"),
        ("DIOPTRA_API", "http://"),
        ("DIOPTRA_API", "http://[::1"),
        ("MLFLOW_S3_ENDPOINT_URL", "minio:9000"),
        ("MLFLOW_TRACKING_URI", "   "),
        ("DIOPTRA_WORKER_USERNAME", "   "),
        ("DIOPTRA_WORKER_KILL_GRACE", "-1"),
        ("DIOPTRA_WORKER_KILL_GRACE", "inf"),
        ("DIOPTRA_WORKER_SETUP_DEADLINE", "0"),
        ("DIOPTRA_WORKER_MAX_ATTEMPTS", "0"),
        ("DIOPTRA_WORKER_ISOLATION", "thread"),
        ("DIOPTRA_WORKER_ON_INTERRUPTION", "retry"),
        ("DIOPTRA_RQ_WORKER_LOG_LEVEL", "LOUD"),
        ("DIOPTRA_RQ_WORKER_LOG_AS_JSON", "perhaps"),
    ],
)
def test_malformed_value_is_quoted(
    environment: MutableMapping[str, str], name: str, value: str
) -> None:
    """A value that cannot be used is named, quoted and told the purpose of."""
    environment[name] = value
    [problem] = _problems()
    assert problem.startswith(f"{name}: {value!r} cannot be used: ")
    field = next(
        field
        for field in settings.Settings.model_fields.values()
        if field.alias == name
    )
    assert str(field.description) in problem


@pytest.mark.parametrize(
    "url",
    [
        "hush-hush@localhost:6379",
        "http://hush-hush@redis",
        "redis://:hush-hush@",
        "redis://hush-hush:b",
    ],
)
def test_bad_redis_url_is_not_quoted(
    environment: MutableMapping[str, str], url: str
) -> None:
    """A Redis URL may hold a password, so the message about a bad one has no part."""
    environment["RQ_REDIS_URI"] = url
    [problem] = _problems()
    assert problem.startswith("RQ_REDIS_URI: the value given cannot be used: ")
    assert "hush-hush" not in problem


@pytest.mark.parametrize(
    "url", ["redis://h/0", "rediss://u:p@h:6380/1", "unix:///run/redis.sock?db=2"]
)
def test_redis_urls(environment: MutableMapping[str, str], url: str) -> None:
    """Plain, encrypted and local connections to Redis are accepted as they are."""
    environment["RQ_REDIS_URI"] = url
    assert settings.load().redis_url.get_secret_value() == url


@pytest.mark.parametrize(
    "given",
    [
        "http://api:5000",
        "http://api:5000/",
        "http://api:5000/api/v1",
        "http://api:5000/api/v1/",
    ],
)
def test_api_url_may_have_its_prefix(
    environment: MutableMapping[str, str], given: str
) -> None:
    """The API's address means the same with and without its prefix and last slash."""
    environment["DIOPTRA_API"] = given
    assert settings.load().api_url == "http://api:5000"


@pytest.mark.parametrize("name", ["IMAGE", "revision", "GPUS", "CONCURRENCY"])
def test_a_variable_that_has_the_name_of_a_field(
    environment: MutableMapping[str, str], name: str
) -> None:
    """A variable of somebody else's is no setting, whatever we call the field."""
    before = settings.load()
    environment[name] = "7"
    assert settings.load() == before


def test_a_user_who_is_somebody_else(environment: MutableMapping[str, str]) -> None:
    """USERNAME, which many systems set, is not who logs in to the API."""
    del environment["DIOPTRA_WORKER_USERNAME"]
    environment["USERNAME"] = "somebody"
    assert [line.partition(":")[0] for line in _problems()] == [
        "DIOPTRA_WORKER_USERNAME"
    ]


@pytest.mark.parametrize("level", ["debug", "Debug", " DEBUG "])
def test_log_level_in_any_case(
    environment: MutableMapping[str, str], level: str
) -> None:
    """The log level is understood in any case."""
    environment["DIOPTRA_RQ_WORKER_LOG_LEVEL"] = level
    assert settings.load().log_level == "DEBUG"


def test_preload_is_a_list(environment: MutableMapping[str, str]) -> None:
    """The modules to preload are separated by commas, with or without blanks."""
    environment["DIOPTRA_WORKER_PRELOAD"] = "torch, torchvision,,"
    assert settings.load().preload == ("torch", "torchvision")


def test_overrides_go_before_the_environment(
    environment: MutableMapping[str, str],
) -> None:
    """What the command line gives goes before the variable; what it omits does not."""
    environment["DIOPTRA_WORKER_ISOLATION"] = "fork"
    loaded = settings.load({"DIOPTRA_WORKER_ISOLATION": "spawn", "RQ_REDIS_URI": ""})
    assert loaded.isolation == "spawn"
    assert loaded.redis_url.get_secret_value() == COMPLETE["RQ_REDIS_URI"]


def test_override_supplies_a_missing_variable(
    environment: MutableMapping[str, str],
) -> None:
    """A required variable need not be set when the command line gives its value."""
    del environment["RQ_REDIS_URI"]
    loaded = settings.load({"RQ_REDIS_URI": "redis://elsewhere"})
    assert loaded.redis_url.get_secret_value() == "redis://elsewhere"


@pytest.mark.parametrize("name", credentials.SECRET_NAMES)
def test_secret_from_a_file(
    environment: MutableMapping[str, str], tmp_path: Path, name: str
) -> None:
    """Every secret may be a file; its contents end up where libraries look for it."""
    value = "redis://from-a-file" if name == "RQ_REDIS_URI" else "from a file "
    file = tmp_path / "secret"
    file.write_text(f"{value}\r\n", encoding="utf-8")
    environment.pop(name, None)
    environment[f"{name}_FILE"] = str(file)
    settings.load()
    assert environment[name] == value


def test_variable_goes_before_its_file(
    environment: MutableMapping[str, str], tmp_path: Path
) -> None:
    """When a secret is given both ways, the variable counts, not the file."""
    environment["DIOPTRA_WORKER_PASSWORD_FILE"] = str(tmp_path / "missing")
    assert settings.load().password.get_secret_value() == "swordfish"


def test_unreadable_secret_file_is_named_once(
    environment: MutableMapping[str, str], tmp_path: Path
) -> None:
    """A secret's file that is not there is the one problem told about that secret."""
    del environment["DIOPTRA_WORKER_PASSWORD"]
    environment["DIOPTRA_WORKER_PASSWORD_FILE"] = str(tmp_path / "missing")
    [problem] = _problems()
    assert problem.startswith("DIOPTRA_WORKER_PASSWORD: the file ")
    assert str(tmp_path / "missing") in problem
    assert "No such file" in problem


def test_secret_file_must_be_text(
    environment: MutableMapping[str, str], tmp_path: Path
) -> None:
    """A secret's file that is not text is told as that, without its contents."""
    file = tmp_path / "secret"
    file.write_bytes(b"\xff\xfehush")
    environment["AWS_SESSION_TOKEN_FILE"] = str(file)
    [problem] = _problems()
    assert "AWS_SESSION_TOKEN: " in problem
    assert "not UTF-8" in problem
    assert "hush" not in problem


@pytest.mark.usefixtures("environment")
def test_secrets_are_never_shown() -> None:
    """Neither `repr` nor `str` of the settings shows a password."""
    loaded = settings.load()
    for text in (repr(loaded), str(loaded), str(loaded.model_dump())):
        assert "swordfish" not in text
        assert "hush-hush" not in text


def test_secrets_lists_what_logs_must_hide(
    environment: MutableMapping[str, str],
) -> None:
    """Passwords, keys and tokens are to be hidden in logs; user names are not."""
    environment["AWS_SECRET_ACCESS_KEY"] = "aws-secret"
    environment["MLFLOW_TRACKING_USERNAME"] = "somebody"
    environment["MLFLOW_TRACKING_TOKEN"] = "token"
    hidden = set(settings.load().secrets())
    assert hidden >= {"swordfish", "hush-hush", "aws-secret", "token"}
    assert "somebody" not in hidden


def test_passwords_in_addresses_are_hidden(
    environment: MutableMapping[str, str],
) -> None:
    """A password that stands in an address is hidden, too, in both spellings."""
    environment["DIOPTRA_API"] = "http://me:in-api@host:5000"
    environment["MLFLOW_TRACKING_URI"] = "http://me:in%40mlflow@host"
    environment["MLFLOW_S3_ENDPOINT_URL"] = "http://me:in-s3@host"
    environment["https_proxy"] = "http://me:in-proxy@host"
    hidden = set(settings.load().secrets())
    assert hidden >= {"in-api", "in%40mlflow", "in@mlflow", "in-s3", "in-proxy"}


@pytest.mark.parametrize(
    ("key_id", "hidden"), [("worker", False), ("a" * 15, False), ("AKIA" * 4, True)]
)
def test_a_key_id_that_is_a_word_is_no_secret(
    environment: MutableMapping[str, str], key_id: str, hidden: bool
) -> None:
    """The id of an access key is hidden if AWS could have given it, and else shown."""
    environment["AWS_ACCESS_KEY_ID"] = key_id
    environment["AWS_SECRET_ACCESS_KEY"] = "aws-secret"
    found = settings.load().secrets()
    assert (key_id in found, "aws-secret" in found) == (hidden, True)


@pytest.mark.usefixtures("environment")
def test_settings_do_not_change() -> None:
    """Settings are read once and cannot be changed afterwards."""
    loaded = settings.load()
    with pytest.raises(ValueError, match="frozen"):
        loaded.username = "somebody"


def test_every_field_explains_itself() -> None:
    """Every setting has a variable and a description; a required one has an example."""
    for key, field in settings.Settings.model_fields.items():
        assert field.alias, key
        assert field.description, key
        assert str(field.description).endswith("."), key
        assert field.examples or not field.is_required(), key


def test_times_that_tests_shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name of `Times` is taken, and what is not given is not there."""
    monkeypatch.setenv(settings.TIMES, '{"heartbeat_interval": 1, "retry_pace": 0.5}')
    assert settings.load_times() == {"heartbeat_interval": 1, "retry_pace": 0.5}
    monkeypatch.delenv(settings.TIMES)
    assert settings.load_times() == {}


@pytest.mark.parametrize(
    "text", ["1", "{", '{"heartbeat": 1}', '{"redis_timeout": 0}', '{"retry_pace": ""}']
)
def test_unknown_times_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no object, an unknown name, no seconds: one sentence names all."""
    monkeypatch.setenv(settings.TIMES, text)
    with pytest.raises(SettingsError) as refusal:
        settings.load_times()
    (problem,) = refusal.value.problems
    assert problem.startswith(f"DIOPTRA_WORKER_TEST_TIMES: {text!r} is no JSON object")
    assert "heartbeat_interval, redis_timeout" in problem


def test_times_are_documented_for_those_who_test() -> None:
    """The page about the tests has a row for each of `Times`."""
    page = Path(__file__).resolve().parents[2] / "docs/how-to/run-the-tests.md"
    text = page.read_text(encoding="utf-8")
    for name in settings.Times.__annotations__:
        assert f"| `{name}` |" in text
