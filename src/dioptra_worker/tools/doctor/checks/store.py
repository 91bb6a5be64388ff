"""The artifact store: bytes go below a run's artifacts, come back, and are removed.

The libraries of MLflow and S3 and their exceptions are used here directly: what they
say is what this check is about. Nothing here starts threads that outlive a store that
hangs, as S3's managed transfer does.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dioptra_worker.common.network.addresses import shown
from dioptra_worker.common.network.network_errors import cause, is_connection_failure
from dioptra_worker.common.network.proxies import proxy_advice, via_proxy
from dioptra_worker.errors import ServiceRefused
from dioptra_worker.tools.doctor.checks import listening
from dioptra_worker.tools.doctor.finding import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dioptra_worker.tools.doctor.checks.tracking import Trial

NAME = "artifact store"
IMPORTS = (
    "dioptra_worker.tracking.s3.client",
    "mlflow.store.artifact.artifact_repository_registry",
)
REACH = "start the S3 store, or correct MLFLOW_S3_ENDPOINT_URL"
SIZE = 1 << 16
_KEYS = "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_FIXES = {
    "NoSuchBucket": "create the bucket, or correct the artifact root of the MLflow"
    " server (--default-artifact-root)",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "ExpiredToken": "renew AWS_SESSION_TOKEN and the keys that go with it",
    "AccessDenied": "allow these keys to put, get and delete objects in the bucket, or"
    " use others (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
    "403": _KEYS,
    "RequestTimeTooSkewed": "have the machines' clocks set by NTP",
    "PermanentRedirect": "set AWS_DEFAULT_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_DEFAULT_REGION to the bucket's region",
}


def refusal(endpoint: str, trial: Trial) -> Finding | None:
    """What is found at once where nothing listens at the store's address.

    Args:
        endpoint: The setting MLFLOW_S3_ENDPOINT_URL.
        trial: Knows where artifacts go, unless MLflow did not say.
    """
    uri = trial.artifact_uri
    is_asked = uri is None or urlsplit(uri).scheme == "s3"
    return listening.refusal(NAME, endpoint, REACH) if is_asked else None


def check(endpoint: str, trial: Trial, *, timeout: float) -> Iterator[Finding]:
    """Check the store.

    Args:
        endpoint: The setting MLFLOW_S3_ENDPOINT_URL.
        trial: Knows where artifacts go, unless MLflow did not say.
        timeout: Seconds that the store may take for one answer.
    """
    uri = trial.artifact_uri
    if uri is None:
        yield _without_mlflow(endpoint, timeout)
    elif (scheme := urlsplit(uri).scheme) == "s3":
        yield _direct(uri, endpoint, timeout)
    elif scheme in {"", "file"}:
        yield warn(
            NAME,
            f"MLflow keeps artifacts in a folder of its machine ({shown(uri)}), which"
            " workers on other machines cannot write to",
            "start MLflow with --default-artifact-root s3://BUCKET or"
            " --serve-artifacts",
        )
    else:
        yield _through_mlflow(uri)


def _direct(uri: str, endpoint: str, timeout: float) -> Finding:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow

    from dioptra_worker.tracking.s3 import client as s3  # noqa: PLC0415 - slow

    parts = urlsplit(uri)
    bucket, content = parts.netloc, os.urandom(SIZE)
    key = f"{parts.path.strip('/')}/{_name()}".lstrip("/")
    try:
        client = s3.client_for_one_try(timeout)
        client.put_object(Bucket=bucket, Key=key, Body=content)
        try:
            back = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        finally:
            removed = _removed(lambda: client.delete_object(Bucket=bucket, Key=key))
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        words = f"s3://{bucket}{via_proxy(endpoint)}: {error}"
        return fail(NAME, words, _FIXES.get(code) or proxy_advice(endpoint) or REACH)
    except BotoCoreError as error:
        return _away(endpoint, error)
    return _verdict(f"s3://{bucket} at {shown(endpoint)}", content, back, removed)


def _through_mlflow(uri: str) -> Finding:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - slow
    from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415
        get_artifact_repository,
    )

    from dioptra_worker.tracking.store_address import (  # noqa: PLC0415 - slow
        refuse_unknown_store,
    )

    content, name = os.urandom(SIZE), _name()
    try:
        refuse_unknown_store(uri)
    except ServiceRefused as error:
        return fail(
            NAME,
            str(error),
            "correct the artifact root of the MLflow server (--default-artifact-root)",
        )
    repository = get_artifact_repository(uri)
    with tempfile.TemporaryDirectory() as folder:
        file, back = Path(folder, name), Path(folder, "back")
        file.write_bytes(content)
        back.mkdir()
        try:
            repository.log_artifact(str(file))
            try:
                came = Path(repository.download_artifacts(name, str(back)))
            finally:
                removed = _removed(lambda: repository.delete_artifacts(name))
        except (MlflowException, OSError) as error:
            return fail(
                NAME,
                f"through MLflow: {str(error)[:400]}",
                "see the MLflow server's log: it must reach its own store"
                " (--artifacts-destination)",
            )
        return _verdict("MLflow's proxy", content, came.read_bytes(), removed)


def _without_mlflow(endpoint: str, timeout: float) -> Finding:
    """See at least whether the store answers."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow

    from dioptra_worker.tracking.s3 import client as s3  # noqa: PLC0415 - slow

    try:
        s3.client_for_one_try(timeout).list_buckets()
    except ClientError:
        pass  # an answer is an answer; the keys need no right to list
    except BotoCoreError as error:
        return _away(endpoint, error)
    return warn(
        NAME,
        f"S3 answers at {shown(endpoint)}; nothing was stored, since MLflow did not say"
        " where artifacts go",
        "mend MLflow first",
    )


def _away(endpoint: str, error: Exception) -> Finding:
    place = f"{shown(endpoint)}{via_proxy(endpoint)}"
    if "credentials" in str(error).lower():
        return fail(NAME, f"{place}: {error}", _KEYS)
    words = f"{place}: {error}"
    if is_connection_failure(error):
        words = f"{place} cannot be reached: {cause(error)}"
    return fail(NAME, words, proxy_advice(endpoint) or REACH)


def _verdict(where: str, content: bytes, back: bytes, removed: str) -> Finding:
    if hashlib.sha256(back).digest() != hashlib.sha256(content).digest():
        return fail(
            NAME,
            f"{len(content)} bytes were put into {where} and others came back",
            "see the store's log; what it keeps cannot be trusted",
        )
    if removed:
        return warn(
            NAME,
            f"{where} takes and gives, but does not delete: {removed}",
            "allow deleting, or remove the objects named dioptra-worker-doctor-*",
        )
    size = f"{SIZE >> 10} KiB"
    return ok(NAME, f"{size} were put, read and deleted in {where}")


def _removed(remove: Callable[[], object]) -> str:
    """Remove what was put; why that failed."""
    try:
        remove()
    except Exception as error:  # noqa: BLE001 - two libraries' errors, one meaning
        return str(error)[:200]
    return ""


def _name() -> str:
    return f"dioptra-worker-doctor-{uuid.uuid4().hex[:12]}"
