"""What rules MLflow's S3 client rules ours: each on a store that insists on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from mlflow.store.artifact.s3_artifact_repo import (
    S3ArtifactRepository,
    _cached_get_s3_client,
)
from tests.plugins.insisting_store import Asked, InsistingStore, insisting_store

from dioptra_worker.common.environment import environment_as_it_was
from dioptra_worker.errors import ServiceError, ServiceRefused
from dioptra_worker.tracking.s3 import client as s3
from dioptra_worker.tracking.s3.upload import S3Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore")

PAGE = Path(__file__).parents[4] / "docs/reference/artifact-store.md"
URI = "s3://bucket/0/run/artifacts"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "worker", "AWS_SECRET_ACCESS_KEY": "nothing"}
ELSEWHERE = {"MLFLOW_S3_ENDPOINT_URL": "http://store.test"}
PROFILE = """
[profile ours]
region = eu-central-1
aws_access_key_id = of-the-profile
aws_secret_access_key = nothing
"""


def _has(name: str, value: str) -> Callable[[Asked], bool]:
    return lambda asked: value in asked.headers.get(name, "")


CASES: dict[str, tuple[dict[str, str], Callable[[Asked], bool]]] = {
    "AWS_ACCESS_KEY_ID": (
        {"AWS_ACCESS_KEY_ID": "somebody"},
        _has("authorization", "Credential=somebody/"),
    ),
    "AWS_SESSION_TOKEN": (
        {"AWS_SESSION_TOKEN": "for-an-hour"},
        _has("x-amz-security-token", "for-an-hour"),
    ),
    "AWS_DEFAULT_REGION": (
        {"AWS_DEFAULT_REGION": "eu-west-3"},
        _has("authorization", "/eu-west-3/s3/"),
    ),
    "AWS_PROFILE": (
        {"AWS_PROFILE": "ours", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        _has("authorization", "Credential=of-the-profile/"),
    ),
    "AWS_REQUEST_CHECKSUM_CALCULATION": (
        {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported"},
        lambda asked: any("checksum-crc" in name for name in asked.headers),
    ),
    "HTTP_PROXY": (
        {**ELSEWHERE, "HTTP_PROXY": "{address}"},
        lambda asked: (
            (asked.host, asked.path.split("/")[1]) == ("store.test", "bucket")
        ),
    ),
    "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": (
        {
            **ELSEWHERE,
            "HTTP_PROXY": "{address}",
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "virtual",
        },
        lambda asked: asked.host == "bucket.store.test",
    ),
    "MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION": (
        {"MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION": "unsigned"},
        lambda asked: "authorization" not in asked.headers,
    ),
    "MLFLOW_S3_EXPECTED_BUCKET_OWNER": (
        {"MLFLOW_S3_EXPECTED_BUCKET_OWNER": "123456789012"},
        _has("x-amz-expected-bucket-owner", "123456789012"),
    ),
    "MLFLOW_S3_UPLOAD_EXTRA_ARGS": (
        {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": '{"ServerSideEncryption": "aws:kms"}'},
        _has("x-amz-server-side-encryption", "aws:kms"),
    ),
}
"""By variable: what is set, and what the store then insists on."""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    file = tmp_path / "report.html"
    file.write_text("<p>fine</p>")
    return file


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().endswith("_PROXY") or name.startswith(("AWS_", "MLFLOW_S3_")):
            monkeypatch.delenv(name)
    config = tmp_path / "config"
    config.write_text(PROFILE)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    _cached_get_s3_client.cache_clear()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # which MLflow's client uses


def _set(
    variables: Mapping[str, str], store: InsistingStore, patch: pytest.MonkeyPatch
) -> None:
    given = {"MLFLOW_S3_ENDPOINT_URL": "{address}", **CREDENTIALS, **variables}
    for name, value in given.items():
        if value:
            patch.setenv(name, value.replace("{address}", store.address))
        else:
            patch.delenv(name, raising=False)


@pytest.mark.parametrize("name", CASES)
def test_a_store_that_insists(
    name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variable the store takes our upload as it takes MLflow's own."""
    variables, insist = CASES[name]
    with insisting_store(insist) as store:
        _set(variables, store, monkeypatch)
        S3Store(URI).put(file, "report")
        S3ArtifactRepository(URI).log_artifact(str(file), "report")
    ours, theirs = [asked.shape for asked in store.asked]
    assert ours == theirs


@pytest.mark.parametrize("name", CASES)
def test_a_folder_for_a_store_that_insists(
    name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it takes each of many files, and of each it is told the same as by MLflow."""
    folder = file.parent / "folder"
    folder.mkdir()
    for other in ("a.txt", "b.html", "c.txt.gz", "größe 1~2", "e.json"):
        (folder / other).write_text(other)
    variables, insist = CASES[name]
    with insisting_store(insist) as store:
        _set(variables, store, monkeypatch)
        S3Store(URI).put(folder, "")
        ours = sorted(asked.shape for asked in store.asked)
        store.asked.clear()
        S3ArtifactRepository(URI).log_artifacts(str(folder), "folder")
        theirs = sorted(asked.shape for asked in store.asked)
    assert ours == theirs
    assert len(ours) == 5


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"HTTP_PROXY"}))
def test_without_the_variable(
    name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the same store refuses: it is the variable that counts."""
    variables, insist = CASES[name]
    rest = {other: value for other, value in variables.items() if other != name}
    rest |= {other: "nobody" for other in CREDENTIALS if rest.get(other) == ""}
    with insisting_store(insist) as store:
        _set(rest, store, monkeypatch)
        with pytest.raises(ServiceError):
            S3Store(URI).put(file, "report")


def test_retries(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How often a request is repeated is the operator's, if they say it."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    with insisting_store(lambda _: False) as store:
        store.refusal = 503
        _set({}, store, monkeypatch)
        with pytest.raises(ServiceError):
            S3Store(URI).put(file, "report")
    assert len(store.asked) == 2


def test_the_page_names_them() -> None:
    """The table in the documentation has a row for each variable that is tried."""
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in CASES if f"`{name}`" not in page] == []


def test_a_style_that_is_none(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that means nothing is refused in words, when something is stored."""
    with insisting_store(lambda _: True) as store:
        _set({"MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "odd"}, store, monkeypatch)
        with pytest.raises(ServiceRefused, match="odd"):
            S3Store(URI).put(file, "report")


def test_owner_on_every_call(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, too, asks whose the bucket is."""
    variables, insist = CASES["MLFLOW_S3_EXPECTED_BUCKET_OWNER"]
    with insisting_store(insist) as store:
        _set(variables, store, monkeypatch)
        S3Store(URI).put(file, "")
        s3.client().head_object(Bucket="bucket", Key="0/run/artifacts/report.html")
    assert [asked.method for asked in store.asked] == ["PUT", "HEAD"]


@pytest.mark.parametrize("change", ["set", "removed", "added"])
def test_a_task_that_changes_them(
    file: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """What a task does to variables after the store was made changes nothing of it."""
    variables, insist = CASES["AWS_ACCESS_KEY_ID"]
    with insisting_store(insist) as store:
        _set(variables, store, monkeypatch)
        ours = S3Store(URI)
        if change == "set":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-data")
            monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
        elif change == "removed":
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        else:
            monkeypatch.setenv("AWS_PROFILE", "nowhere")
            monkeypatch.setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "nonsense")
        then = dict(os.environ)
        ours.put(file, "report")
    assert dict(os.environ) == then
    assert len(store.objects) == 1


def test_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are as they were for a while, and then as a task has them again."""
    monkeypatch.setenv("A_CHANGED", "before")
    monkeypatch.delenv("A_NEW", raising=False)
    then = dict(os.environ)
    monkeypatch.setenv("A_CHANGED", "after")
    monkeypatch.setenv("A_NEW", "new")
    now = dict(os.environ)
    with environment_as_it_was(then):
        assert dict(os.environ) == then
    assert dict(os.environ) == now
