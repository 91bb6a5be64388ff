"""The S3 client: made once for a process, and read up beforehand in a fork server."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from boto3.exceptions import Boto3Error, S3UploadFailedError
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    HTTPClientError,
)
from urllib3.exceptions import HTTPError as URLLib3Error

from dioptra_worker import certificates
from dioptra_worker.common.network.addresses import shown
from dioptra_worker.common.network.proxies import check_proxy, unreachable, via_proxy
from dioptra_worker.errors import ServiceRefused, ServiceUnavailable
from dioptra_worker.tracking.s3.bounded_answers import bound_answers
from dioptra_worker.tracking.s3.patterned_requests import let_observe
from dioptra_worker.tracking.s3.unchanging_trust import read_trust_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.loaders import Loader
    from botocore.model import OperationModel
    from mypy_boto3_s3 import S3Client

SERVICE = "S3"
ENDPOINT = "MLFLOW_S3_ENDPOINT_URL"
"""The variable that names the store."""
MAX_RETRIES = 5
"""Times that boto3 repeats one request to S3, with a back-off of its own.

That bridges what is over in seconds. While the store is away for longer, the runner
repeats the whole upload of an artifact: `tracking.upload_retry`. Both are harmless to
repeat: a key is written as a whole, and anew with the same content.
"""
MAX_PARALLEL_FILES = 16
MAX_CONNECTIONS = 2 * MAX_PARALLEL_FILES
"""Connections that are kept; those of a large file's parts included."""


def warm_up_caches() -> None:
    """Do beforehand what makes the first `client` of a process slow.

    Where the credentials are in the environment, this is the client that runners will
    find. Elsewhere finding them may need the network, and is left to whoever needs
    them: the client made here is nobody's.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        client()
    else:
        _make(access_key="nobody", secret_key="nothing")  # noqa: S106


def client() -> S3Client:
    """A client for the endpoint that MLflow uses, as the environment describes it."""
    return _client(_environment())


def client_for_one_try(timeout: float) -> S3Client:
    """A client of its own, that repeats nothing: what it meets is told at once.

    Args:
        timeout: Seconds that the store may take to accept a connection, or to answer.
    """
    one_try = {"mode": "standard", "total_max_attempts": 1}
    return _make(retries=one_try, connect_timeout=timeout, read_timeout=timeout)


def endpoint() -> str:
    """Where the store is, without a password; empty where boto3 finds it by itself."""
    return shown(os.environ.get(ENDPOINT, ""))


def extra_arguments() -> dict[str, Any]:
    """What MLflow's own store adds to each upload, such as ServerSideEncryption.

    Raises:
        ServiceRefused: The variable that says so is no JSON object.
    """
    text = os.environ.get("MLFLOW_S3_UPLOAD_EXTRA_ARGS") or "{}"
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ServiceRefused(
            "MLFLOW_S3_UPLOAD_EXTRA_ARGS must be a JSON object, such as"
            f' {{"ServerSideEncryption": "aws:kms"}}, not {text!r}',
            service=SERVICE,
        )
    return found


_OF_CONNECTIONS = (OSError, HTTPException, URLLib3Error)
"""What is raised by a connection, and not by a process that a task has broken."""


@contextlib.contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Turn what boto3 raises into our errors."""
    place = endpoint()  # which a task may change meanwhile
    try:
        yield
    except (
        *(Boto3Error, BotoCoreError, ClientError, OSError, ValueError),
        *(LookupError, TypeError),  # an answer that lacks something
    ) as error:
        kind = ServiceUnavailable if _is_transient(error) else ServiceRefused
        raise kind(f"{what}: {_describe(error, place)}", service=SERVICE) from error


def _describe(error: Exception, place: str) -> str:
    """What went wrong; of a connection that failed, where and why."""
    if isinstance(error, HTTPClientError | ConnectionError):
        return f"it {unreachable(place, ENDPOINT, error)}"
    told = f"{place}{via_proxy(place)}" if place else "not set"
    return f"{error} ({ENDPOINT} is {told}){check_proxy(place)}"


def _is_transient(error: BaseException) -> bool:
    """Whether a failure may be over when it is tried again."""
    inner = error.__cause__ or error.__context__
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429
    if isinstance(error, S3UploadFailedError) and isinstance(inner, Exception):
        return _is_transient(inner)
    if type(error) is HTTPClientError:  # for whatever was raised while it was sent
        return isinstance(inner, _OF_CONNECTIONS) and not _is_ours(inner)
    return isinstance(error, HTTPClientError | ConnectionError) and not _is_ours(error)


def _is_ours(error: BaseException) -> bool:
    """Whether a connection failed for what a task has used up: all descriptors."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno == errno.EMFILE:
            return True
        found = found.__cause__ or found.__context__
    return False


@functools.cache
def _client(environment: tuple[tuple[str, str], ...]) -> S3Client:
    del environment  # as long as it is the same, so is the client
    return _make()


def _environment() -> tuple[tuple[str, str], ...]:
    """The variables that boto3 and MLflow's own S3 store read."""
    names = (
        "AWS_",
        "MLFLOW_BOTO_",
        "MLFLOW_EXPERIMENTAL_S3_",
        "MLFLOW_S3_",
        "BOTO",
        "REQUESTS_",
        "HTTP",
        "http",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    )
    found = [pair for pair in os.environ.items() if pair[0].startswith(names)]
    return tuple(sorted(found))


def _make(
    *, access_key: str | None = None, secret_key: str | None = None, **options: Any
) -> S3Client:
    """Make a client, of the environment's user unless one is given.

    Args:
        access_key: Who the user is.
        secret_key: That user's secret.
        **options: As botocore's ``Config`` takes them; they count more than what the
            environment says.
    """
    session = _session()
    config, retries_are_ours = _config(session)
    config = config.merge(Config(**options))
    made: S3Client = boto3.Session(botocore_session=session).client(
        "s3",
        endpoint_url=os.environ.get(ENDPOINT) or None,
        verify=_believed(session),
        config=config,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )
    if owner := os.environ.get("MLFLOW_S3_EXPECTED_BUCKET_OWNER"):
        expect = functools.partial(_expect_owner, owner)
        made.meta.events.register("before-parameter-build.s3", expect)
    bound_answers(made)
    read_trust_once(made)
    if retries_are_ours:  # else a request is sent as often as the operator says
        let_observe(made)
    return made


def _config(session: botocore.session.Session) -> tuple[Config, bool]:
    """What MLflow's variables say, and what is ours where botocore's say nothing.

    With it, whether that holds for how often a request is repeated.

    Stores other than Amazon's often do not know the checksums that boto3 adds since
    1.36, so they are sent only where S3 requires them.
    """
    chosen: dict[str, Any] = {}
    if os.environ.get(ENDPOINT):
        for name in ("request_checksum_calculation", "response_checksum_validation"):
            if not _is_chosen(session, name):
                chosen[name] = "when_required"
    retries_are_ours = not any(
        _is_chosen(session, name) for name in ("max_attempts", "retry_mode")
    )
    if retries_are_ours:
        chosen["retries"] = {"mode": "standard", "max_attempts": MAX_RETRIES}
    if style := os.environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"):
        chosen["s3"] = {"addressing_style": style}
    version = os.environ.get("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION") or "s3v4"
    chosen["signature_version"] = UNSIGNED if version.lower() == "unsigned" else version
    return Config(max_pool_connections=MAX_CONNECTIONS, **chosen), retries_are_ours


def _is_chosen(session: botocore.session.Session, option: str) -> bool:
    """Whether the operator says something, by a variable or in AWS' own file.

    botocore tells its defaults from that nowhere. With a profile that is not there it
    raises, here as anywhere.
    """
    variable = f"AWS_{option.upper()}"
    return bool(os.environ.get(variable) or session.get_scoped_config().get(option))


def _expect_owner(
    owner: str, params: dict[str, Any], model: OperationModel, **_: object
) -> None:
    """Have S3 refuse whatever is asked of a bucket that is somebody else's."""
    takes = model.input_shape
    if takes is not None and "ExpectedBucketOwner" in takes.members:
        params.setdefault("ExpectedBucketOwner", owner)


def _believed(session: botocore.session.Session) -> str | bool:
    """Whose certificates are believed, as botocore decides it.

    But to botocore a variable or an option that is empty means to look at none.
    """
    if certificates.is_on(certificates.S3_SWITCH, os.environ):
        return False
    named = session.get_config_variable("ca_bundle")
    return str(named or os.environ.get("REQUESTS_CA_BUNDLE") or "") or True


def _session() -> botocore.session.Session:
    """A session of our own, which is cheap since the data models are read once."""
    session = botocore.session.Session()
    session.register_component("data_loader", _models())
    return session


@functools.cache
def _models() -> Loader:
    """What botocore knows of Amazon's services: JSON files that are slow to read."""
    loader: Loader = botocore.session.Session().get_component("data_loader")
    return loader
