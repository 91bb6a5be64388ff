"""Settings: read once from the environment, each field explains itself.

The reference page and ``--help`` are generated from the fields below. A secret may
also be given as ``NAME_FILE``, the path of a file that holds it. Every variable that
is missing or malformed is named in one `SettingsError`.
"""

from __future__ import annotations

import hmac
import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from dioptra_worker import homes
from dioptra_worker.credentials import EVIDENCE_KEY, SECRET_NAMES, secrets_in
from dioptra_worker.errors import SettingsError
from dioptra_worker.protocol.messages import SEVERITIES, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo


LEASE_TTL = 90.0
"""Seconds after which a lease on a job that nobody renews runs out; see `Settings`."""
_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL", "NOTSET": "DEBUG"}
"""Other names of severities that `logging` knows, as RQ takes them."""
_API_PATH = re.compile(r"/+api(/+v1(/.*)?)?/*$")
"""What people copy along with an API's address, from a browser or another tool."""
_LOG_LEVEL = "DIOPTRA_RQ_WORKER_LOG_LEVEL"


def _http_url(value: str) -> str:
    parts = urlsplit(value)  # raises ValueError on "http://[::1"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it must begin with http:// or https:// and name a host")
    return value.rstrip("/")


def api_address(value: str) -> str:
    """The address of a REST API, in whatever form people give it.

    Args:
        value: Such as ``http://localhost:5000``, or that with ``/api/v1`` behind it, or
            a page below that.

    Raises:
        ValueError: It is no address; the message says what one is like.
    """
    address = _http_url(value.strip())
    parts = urlsplit(address)
    if parts.query or parts.fragment:
        raise ValueError("it must have nothing behind '?' or '#'")
    _ = parts.port  # raises ValueError when it is no number
    path = _API_PATH.sub("", parts.path)
    return parts._replace(path=path).geturl().rstrip("/")


def _redis_url(value: str) -> str:
    parts = urlsplit(value)
    if "sentinel" in parts.scheme:
        raise ValueError(
            "Redis Sentinel is not spoken, nor is it by the REST API: name an address"
            " that leads to the primary, a proxy's or a name in the DNS"
        )
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("it must begin with redis://, rediss:// or unix://")
    if parts.scheme != "unix":
        if not parts.hostname:
            raise ValueError("it names no host")
        _ = parts.port  # raises ValueError when it is no number
    return value


def _job_users(value: str) -> str:
    word = value.strip().lower()
    if word in {"auto", "none"}:
        return word
    if not word.isascii() or not word.isdigit() or not 0 < int(word) < _MAX_UID:
        raise ValueError("it is neither 'auto' nor 'none' nor the number of a user")
    return word


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty")
    return value


_MAX_UID = (1 << 32) - 2 - 2048

Text = Annotated[str, AfterValidator(_not_blank)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _required(example: str, description: str, name: str) -> Any:
    return Field(
        alias=name, description=description, examples=[example], validate_default=True
    )


def _optional(default: object, name: str, description: str) -> Any:
    return Field(default=default, alias=name, description=description)


AUTO = "auto"
"""What stands in `Settings.preload` for what the worker learns."""

DATA_PARAMETERS = ("elements", "elements_list", "sets")
"""Parameters that say what to work on and not how, unless settings say otherwise."""


TIMES = "DIOPTRA_WORKER_TEST_TIMES"
"""The variable by which tests shorten what is no user's to choose; see `Times`."""


class Times(TypedDict, total=False):
    """Intervals and time-outs in seconds; what is not given stays as it is.

    Attributes:
        heartbeat_interval: Between two heartbeats to Redis.
        redis_timeout: That Redis may take to answer.
        sweep_interval: Between two looks for what lost workers left, at most.
        taken_timeout: After which a job that was taken but not begun counts as lost.
        close_run_timeout: That MLflow may take to close a run.
        retry_pace: No seconds: what the outbox's pauses are multiplied with.
        trouble_pace: Likewise, those of a worker that cannot prepare jobs.
        records_pace: Likewise, those between two tries to store a manifest.
    """

    heartbeat_interval: float
    redis_timeout: float
    sweep_interval: float
    taken_timeout: float
    close_run_timeout: float
    retry_pace: float
    trouble_pace: float
    records_pace: float


class _Variables(PydanticBaseSettingsSource):
    """The environment, by the names that our fields give, in letters of any case.

    The library's own source finds other names, too: those of the fields themselves,
    such as ``IMAGE`` or ``PASSWORD``, which are other programs' variables. What is
    empty is not set.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        """Look at the environment as it is now."""
        super().__init__(settings_cls)
        self._set = {name.lower(): value for name, value in os.environ.items()}

    def __call__(self) -> dict[str, Any]:
        """All that is set, by its name."""
        fields = self.settings_cls.model_fields.items()
        found = (self.get_field_value(field, name) for name, field in fields)
        return {name: value for value, name, _ in found if value}

    def get_field_value(
        self, field: FieldInfo, field_name: str
    ) -> tuple[str | None, str, bool]:
        """The text of a field, the name that it has, and that it is no JSON."""
        name = field.alias or field_name
        return self._set.get(name.lower()), name, False


class Settings(BaseSettings):
    """Everything that the daemon reads from its environment.

    Units are seconds and bytes unless the description says otherwise.
    """

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, populate_by_name=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, and then the environment."""
        return init_settings, _Variables(settings_cls)

    username: Text = _required(
        "worker",
        "The Dioptra user that the worker logs in as.",
        "DIOPTRA_WORKER_USERNAME",
    )
    password: SecretStr = _required(
        "correct-horse",
        "The password of DIOPTRA_WORKER_USERNAME.",
        "DIOPTRA_WORKER_PASSWORD",
    )
    api_url: Annotated[str, AfterValidator(api_address)] = _required(
        "http://localhost:5000", "The base URL of the Dioptra REST API.", "DIOPTRA_API"
    )
    redis_url: SecretStr = _required(
        "redis://localhost:6379/0",
        "The Redis (or Valkey) that holds the job queues.",
        "RQ_REDIS_URI",
    )
    mlflow_tracking_uri: Text = _required(
        "http://localhost:35000", "The MLflow tracking server.", "MLFLOW_TRACKING_URI"
    )
    s3_endpoint_url: HttpUrl = _required(
        "http://localhost:39000",
        "The S3-compatible store that holds MLflow's artifacts.",
        "MLFLOW_S3_ENDPOINT_URL",
    )
    log_as_json: bool = _optional(
        default=False,
        name="DIOPTRA_RQ_WORKER_LOG_AS_JSON",
        description="Write the daemon's own log as JSON lines instead of for people.",
    )
    log_level: Severity = _optional(
        "INFO",
        _LOG_LEVEL,
        "The least severity that the daemon logs: DEBUG, INFO, WARNING, ERROR or"
        " CRITICAL.",
    )
    isolation: Literal["auto", "fork", "spawn"] = _optional(
        "auto",
        "DIOPTRA_WORKER_ISOLATION",
        "How a runner is made: 'fork' from a fork server that has imported everything"
        " (Linux), 'spawn' a standby beforehand (macOS), or 'auto'.",
    )
    preload: tuple[str, ...] = _optional(
        (),
        "DIOPTRA_WORKER_PRELOAD",
        "Modules, separated by commas, that the fork server imports once so that no job"
        " waits for them, such as 'torch,torchvision'; 'auto' among them has the worker"
        " learn from its jobs what is worth it (Linux), and 'none' is none.",
    )
    preload_memory: Annotated[int, Field(ge=0)] = _optional(
        1 << 30,
        "DIOPTRA_WORKER_PRELOAD_MEMORY",
        "Bytes by which a worker may grow for what it imports of its own accord, with"
        " 'auto' in DIOPTRA_WORKER_PRELOAD; never more than a quarter of the memory"
        " that there is; slots of one worker have the same part of it each.",
    )
    import_path: tuple[str, ...] = _optional(
        (),
        homes.IMPORT_PATH,
        "Folders, separated by commas, in which plugins find modules, after those where"
        " packages are installed.",
    )
    warm: bool = _optional(
        default=True,
        name="DIOPTRA_WORKER_WARM",
        description="Keep runners ready, so that a job starts in milliseconds; without,"
        " each job waits for its imports, and the worker needs the least memory.",
    )
    concurrency: Annotated[int, Field(ge=1, le=1024)] = _optional(
        1,
        "DIOPTRA_WORKER_CONCURRENCY",
        "How many jobs run at a time, each in a slot: a worker of its own, named after"
        " this one, that shares the fork server with the others.",
    )
    gpus: Text = _optional(
        "auto",
        "DIOPTRA_WORKER_GPUS",
        "The GPUs that slots are dealt, such as '0,1'; 'auto' takes those that are"
        " there, or CUDA_VISIBLE_DEVICES; 'all' lets every slot use all.",
    )
    data_parameters: tuple[str, ...] = _optional(
        DATA_PARAMETERS,
        "DIOPTRA_WORKER_DATA_PARAMETERS",
        "Parameters and inputs, separated by commas, that say what to work on and not"
        " how: they are no part of a worker run's identity.",
    )
    image: str = _optional(
        "",
        "DIOPTRA_WORKER_IMAGE",
        "The container image that the worker runs in, to be recorded with each job.",
    )
    revision: str = _optional(
        "",
        "DIOPTRA_WORKER_REVISION",
        "The revision of the source that the image or environment was made from, to"
        " be recorded with each job.",
    )
    work_dir: Path = Field(
        default_factory=lambda: (
            Path(tempfile.gettempdir()) / f"dioptra-worker-{os.getuid()}"
        ),
        alias="DIOPTRA_WORKER_WORK_DIR",
        description="Where each job gets a private folder, removed when it ends, and"
        " where what the API has yet to be told is kept.",
    )
    cache_dir: Path = _optional(
        Path("cache"),
        "DIOPTRA_WORKER_CACHE_DIR",
        "Where plugins and input artifacts that were fetched once are kept, in the"
        " folder 'snapshots', for all workers of this user on this machine. It may lie"
        " relative to DIOPTRA_WORKER_WORK_DIR.",
    )
    cache_size: Annotated[int, Field(ge=0)] = _optional(
        2 << 30,
        "DIOPTRA_WORKER_CACHE_SIZE",
        "Bytes that these may take; what was not used for longest goes first, and 0"
        " keeps nothing.",
    )
    download_dir: str = _optional(
        "",
        homes.DOWNLOAD_DIR,
        "Where downloads of libraries (Hugging Face, torch, Keras, TensorFlow Datasets,"
        " scikit-learn, NLTK, pip, uv) are kept for all jobs, which share it; unless"
        " set, where these libraries keep them in the home of the worker's user."
        " Everything else in a job's home is the job's own.",
    )
    kill_grace: Seconds = _optional(
        10.0,
        "DIOPTRA_WORKER_KILL_GRACE",
        "Seconds that a job has between being told to stop and being killed.",
    )
    shutdown_grace: Seconds = _optional(
        8.0,
        "DIOPTRA_WORKER_SHUTDOWN_GRACE",
        "Seconds that a running job has to end by itself after SIGTERM before it is"
        " given back.",
    )
    on_interruption: Literal["requeue", "fail"] = _optional(
        "requeue",
        "DIOPTRA_WORKER_ON_INTERRUPTION",
        "What becomes of a job whose worker is shut down or lost: 'requeue' or 'fail'.",
    )
    max_attempts: Annotated[int, Field(ge=1)] = _optional(
        2,
        "DIOPTRA_WORKER_MAX_ATTEMPTS",
        "How often a job is started at most when workers are lost under it.",
    )
    lease_ttl: Annotated[float, Field(ge=3, allow_inf_nan=False)] = _optional(
        LEASE_TTL,
        "DIOPTRA_WORKER_LEASE_TTL",
        "Seconds without Redis after which a worker must assume that another one has"
        " its job: it stops the job and writes nothing more of it. So long does a job"
        " wait whose worker was lost on another machine.",
    )
    lost_after: Annotated[float, Field(gt=0)] = _optional(
        60.0,
        "DIOPTRA_WORKER_LOST_AFTER",
        "Seconds after which a job that the API calls queued, and that is in no queue,"
        " counts as lost and is enqueued again; three times that for a started job"
        " that no worker holds.",
    )
    delivery_deadline: Annotated[float, Field(ge=0)] = _optional(
        3600.0,
        "DIOPTRA_WORKER_DELIVERY_DEADLINE",
        "Seconds after which results are given up, and their job fails, at which the"
        " API fails while it works otherwise. Other jobs run meanwhile.",
    )
    setup_deadline: Annotated[float, Field(gt=0)] = _optional(
        300.0,
        "DIOPTRA_WORKER_SETUP_DEADLINE",
        "Seconds that fetching a job's code and creating its MLflow run may take in"
        " all, retries included. An input artifact may take longer while it comes.",
    )
    api_timeout: Annotated[float, Field(gt=0, le=120)] = _optional(
        60.0,
        "DIOPTRA_WORKER_API_TIMEOUT",
        "Seconds that an answer of the REST API may take, all of it, before the worker"
        " breaks it off and tries again; a download, until its first byte. While it"
        " fetches an input artifact from its store it may be silent for longer, by the"
        " artifact's size.",
    )
    status_poll: Annotated[float, Field(gt=0)] = _optional(
        10.0,
        "DIOPTRA_WORKER_STATUS_POLL",
        "Seconds between two looks at whether a running job was deleted, or its status"
        " set by somebody else.",
    )
    health_file: Path = _optional(
        Path("health-{name}.json"),
        "DIOPTRA_WORKER_HEALTH_FILE",
        "The file in which the daemon says every few seconds that it is alive, for"
        " `dioptra-worker health`. It may lie relative to DIOPTRA_WORKER_WORK_DIR;"
        " {name} stands for the worker's --name, or else for its process id.",
    )
    health_port: Annotated[int, Field(ge=0, le=65535)] = _optional(
        0,
        "DIOPTRA_WORKER_HEALTH_PORT",
        "The port of a small HTTP server with /livez, /readyz and /metrics; 0 is none."
        " With DIOPTRA_WORKER_CONCURRENCY the first slot's: the others have the next.",
    )
    health_host: Text = _optional(
        "127.0.0.1",
        "DIOPTRA_WORKER_HEALTH_HOST",
        "The address at which DIOPTRA_WORKER_HEALTH_PORT is opened; 0.0.0.0 lets other"
        " machines ask.",
    )
    job_users: Annotated[str, AfterValidator(_job_users)] = _optional(
        "auto",
        "DIOPTRA_WORKER_JOB_USERS",
        "Who jobs run as: 'auto' is a user for each slot, from 60706 on, where the"
        " worker has the right to change users (Linux, as root) and nothing is seen"
        " that jobs would then miss, and else the worker's own; 'none' is the worker's"
        " own; a number is the first of 2048 that are nobody else's, for users instead"
        " of those, and it is an error if jobs cannot run as them.",
    )
    evidence_key: SecretStr = _optional(
        SecretStr(""),
        EVIDENCE_KEY,
        "The Ed25519 key in PEM, or several, that each job's manifest is signed with;"
        " better a file, as DIOPTRA_WORKER_EVIDENCE_KEY_FILE. Without one nothing is"
        " signed. `dioptra-worker evidence keygen` makes one; it needs the extra"
        " 'evidence'.",
    )
    expose_credentials: bool = _optional(
        default=False,
        name="DIOPTRA_WORKER_EXPOSE_CREDENTIALS",
        description="Let plugin code read DIOPTRA_WORKER_PASSWORD from its"
        " environment. Needed only by plugins that log in by themselves.",
    )

    @field_validator("password", mode="after")
    @classmethod
    def _password_is_there(cls, value: SecretStr) -> SecretStr:
        _not_blank(value.get_secret_value())
        return value

    @field_validator("redis_url", mode="after")
    @classmethod
    def _redis_url_is_one(cls, value: SecretStr) -> SecretStr:
        _redis_url(value.get_secret_value())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return _level(value) if isinstance(value, str) else value

    @field_validator("preload", "data_parameters", "import_path", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("preload", mode="after")
    @classmethod
    def _none_alone(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "none" in value and len(value) > 1:
            raise ValueError("'none' is said alone")
        return tuple(name for name in value if name != "none")

    @property
    def preload_names(self) -> tuple[str, ...]:
        """The modules that `preload` names."""
        return tuple(name for name in self.preload if name != AUTO)

    @property
    def learns(self) -> bool:
        """Whether the worker learns from its jobs what else to import."""
        return AUTO in self.preload

    def cache_key(self) -> bytes:
        """What the cache's checksums are made with."""
        return self._key("snapshots in the cache")

    def imports_key(self) -> bytes:
        """What the checksum of what was learned of imports is made with."""
        return self._key("imports of jobs")

    def _key(self, purpose: str) -> bytes:
        """A secret of ours: no job can know the password."""
        password = self.password.get_secret_value().encode()
        return hmac.digest(password, f"dioptra-worker: {purpose}".encode(), "sha256")

    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown; see `credentials.secrets_in`."""
        given = {
            "DIOPTRA_WORKER_USERNAME": self.username,
            "DIOPTRA_WORKER_PASSWORD": self.password.get_secret_value(),
            "REDIS": self.redis_url.get_secret_value(),
            EVIDENCE_KEY: self.evidence_key.get_secret_value(),
            "DIOPTRA_API": self.api_url,
            "MLFLOW_TRACKING_URI": self.mlflow_tracking_uri,
            "MLFLOW_S3_ENDPOINT_URL": self.s3_endpoint_url,
        }
        return tuple(secrets_in(os.environ) | secrets_in(given))


def load(overrides: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: Values by variable name that go before the environment's, such as
            what the command line gave.

    Returns:
        The settings; secrets given as ``NAME_FILE`` are read and set in
        ``os.environ`` so that the libraries that look for them there find them.

    Raises:
        SettingsError: Naming every variable that is missing or malformed.
    """
    rq_names = ("RQ_REDIS_URI", "RQ_REDIS_URI_FILE")
    if (address := os.environ.get("RQ_REDIS_URL")) and not any(
        map(os.environ.get, rq_names)
    ):
        os.environ["RQ_REDIS_URI"] = address  # as RQ's own commands call it
    problems = _read_secret_files()
    for name, value in homes.mlflow_credentials(os.environ).items():
        os.environ.setdefault(name, value)
    given: dict[str, Any] = {k: v for k, v in (overrides or {}).items() if v}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        already = {problem.partition(":")[0] for problem in problems}
        problems += [
            text
            for details in error.errors()
            if (text := _explain(str(details["loc"][0]), details))
            and text.partition(":")[0] not in already
        ]
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def load_times() -> Times:
    """Read `TIMES` from the environment, a JSON object of names to seconds.

    Raises:
        SettingsError: It is something else.
    """
    text = os.environ.get(TIMES) or "{}"
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    known = Times.__annotations__
    if not isinstance(given, dict) or not all(
        name in known and isinstance(seconds, int | float) and 0 < seconds < math.inf
        for name, seconds in given.items()
    ):
        problem = (
            f"{TIMES}: {text!r} is no JSON object that gives seconds to some of"
            f" {', '.join(known)}; it is for tests only, so better unset it"
        )
        raise SettingsError([problem])
    return cast("Times", given)


def log_level(environment: Mapping[str, str]) -> str:
    """The least severity that the log of a run without a daemon has, as a job's.

    Args:
        environment: That of whoever wants the run.

    Raises:
        SettingsError: It is none.
    """
    level = _level(environment.get(_LOG_LEVEL, "")) or "INFO"
    if level not in SEVERITIES:
        known = ", ".join(SEVERITIES)
        raise SettingsError([f"{_LOG_LEVEL} is {level!r}: set it to one of {known}"])
    return level


def _level(text: str) -> str:
    """The severity that is meant, in any case; what is none stays as it is."""
    word = text.strip().upper()
    return _LEVELS.get(word, word)


def secret(name: str, environment: Mapping[str, str]) -> str | None:
    """One secret, as the variable itself or the file that ``NAME_FILE`` names has it.

    Args:
        name: The variable, such as ``RQ_REDIS_URI``.
        environment: The variables.

    Returns:
        Its value; None if neither is set.

    Raises:
        SettingsError: The file cannot be read.
    """
    return environment.get(name) or read_secret_file(name, environment)


def read_secret_file(name: str, environment: Mapping[str, str]) -> str | None:
    """Read the file that ``NAME_FILE`` names, for whoever needs one secret only.

    Args:
        name: The variable, such as ``RQ_REDIS_URI``.
        environment: The variables.

    Returns:
        What the file holds; None if none is named.

    Raises:
        SettingsError: It cannot be read.
    """
    path = environment.get(f"{name}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{name}_FILE: {path!r} cannot be read: {error}"
        raise SettingsError([problem]) from error


def _read_secret_files() -> list[str]:
    """Put the contents of ``NAME_FILE`` in place of ``NAME``; tell what was wrong."""
    problems = []
    for name in SECRET_NAMES:
        path = os.environ.get(f"{name}_FILE")
        if not path or os.environ.get(name):
            continue
        try:
            os.environ[name] = Path(path).read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            problems.append(
                f"{name}: the file {path!r}, named by {name}_FILE, cannot be read:"
                f" {reason}."
            )
    return problems


def _explain(name: str, details: Any) -> str:
    """One sentence about one setting: what is wrong, what it is for, an example."""
    field: FieldInfo = next(
        field
        for key, field in Settings.model_fields.items()
        if name in {key, field.alias}
    )
    purpose = field.description or ""
    example = f" Example: {name}={field.examples[0]}" if field.examples else ""
    if details["type"] == "missing":
        return f"{name}: not set. {purpose}{example}"
    reason = str(details["msg"]).removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    shown = "the value given" if name in SECRET_NAMES else repr(details["input"])
    return f"{name}: {shown} cannot be used: {reason}. {purpose}{example}"
