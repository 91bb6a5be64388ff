"""A job's MLflow run and its artifacts, on the local stack's MLflow and S3."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import mlflow
import pytest
from botocore.config import Config
from tests.plugins.clients import MlflowReader, s3_client
from tests.plugins.fault_proxy import fault_proxy
from tests.unit.api.scripted import Answer, Request, ScriptedApi

from dioptra_worker.errors import ServiceError, ServiceRefused, ServiceUnavailable
from dioptra_worker.protocol.forkserver import StartCloseRun
from dioptra_worker.tracking import artifact_store
from dioptra_worker.tracking.mlflow import active_run
from dioptra_worker.tracking.mlflow.run import (
    MAX_SHORT_VALUE,
    RUNNER_TAG,
    MlflowTracking,
)
from dioptra_worker.tracking.s3 import client as s3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.protocol.run_rules import RunStatus
    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore")


def _use(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the environment that a runner has."""
    for name, value in stack.environment().items():
        if name.startswith(("AWS_", "MLFLOW_")):
            monkeypatch.setenv(name, value)
    mlflow.set_tracking_uri(None)


@pytest.fixture(name="runner")
def _runner(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """Be in the place of a runner; no run is active afterwards."""
    _use(stack, monkeypatch)
    yield monkeypatch
    active_run.end_all("FINISHED")


@pytest.fixture(name="proxied")
def _proxied(
    proxied_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The same, on the stack whose artifacts pass through MLflow."""
    _use(proxied_stack, monkeypatch)
    yield
    active_run.end_all("FINISHED")


def _folder(parent: Path) -> Path:
    folder = parent / "model"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "bare").mkdir()
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 100)
    (folder / "deep" / "er" / "größe 1.txt").write_text("12 MiB?")
    (folder / "deep" / "link").symlink_to(folder / "weights.bin")
    return folder


# -- the run -----------------------------------------------------------------------


@pytest.mark.usefixtures("runner")
def test_a_run_begins_and_is_the_active_one(mlflow_reader: MlflowReader) -> None:
    """A run bears its job's id, and what plugins log by MLflow's means goes to it."""
    run_id, uri = MlflowTracking().start(7)
    mlflow.log_metric("accuracy", 0.5)
    mlflow.set_tag("by", "plugin")
    assert mlflow_reader.status(run_id) == "RUNNING"
    assert mlflow_reader.metrics(run_id) == {"accuracy": 0.5}
    assert mlflow_reader.tags(run_id)["dioptra.jobId"] == "7"
    assert mlflow_reader.tags(run_id)["by"] == "plugin"
    assert uri.startswith("s3://")
    assert run_id in uri


@pytest.mark.usefixtures("runner")
def test_many_parameters(mlflow_reader: MlflowReader) -> None:
    """More parameters than MLflow takes at once are all there, and so is the name."""
    run_id, _ = MlflowTracking().start(7)
    params: dict[str, object] = {f"p{number}": number for number in range(230)}
    params |= {"none": None, "empty": "", "nested": {"a": [1, 2]}, "text": "ü\n'"}
    MlflowTracking().describe(run_id, name="train (job 7)", params=params)
    logged = mlflow_reader.parameters(run_id)
    assert logged == {name: str(value) for name, value in params.items()}
    assert mlflow_reader.tags(run_id)["mlflow.runName"] == "train (job 7)"


@pytest.mark.usefixtures("runner")
def test_a_run_without_parameters_has_a_name(mlflow_reader: MlflowReader) -> None:
    """A job without parameters has a name in MLflow all the same."""
    run_id, _ = MlflowTracking().start(7)
    MlflowTracking().describe(run_id, name="train (job 7)", params={})
    assert mlflow_reader.tags(run_id)["mlflow.runName"] == "train (job 7)"
    assert mlflow_reader.parameters(run_id) == {}


@pytest.mark.usefixtures("runner")
def test_values_that_are_too_long(
    mlflow_reader: MlflowReader,
) -> None:
    """A value that is longer than the server keeps does not cost the others."""
    run_id, _ = MlflowTracking().start(7)
    params = {"long": "x" * 100_000, "short": "y", "middle": "z" * 240}
    MlflowTracking().describe(run_id, name="n", params=params)
    logged = mlflow_reader.parameters(run_id)
    assert len(logged["long"]) >= MAX_SHORT_VALUE
    assert set(logged["long"]) == {"x"}
    assert (logged["short"], logged["middle"]) == ("y", "z" * 240)
    assert mlflow_reader.tags(run_id)["mlflow.runName"] == "n"


def test_a_server_that_refuses_long_values(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a long value is refused it is cut and said, and the name is kept."""

    def script(request: Request) -> Answer:
        if not request.path.endswith("runs/log-batch"):
            return Answer(200, {"run_info": {}})
        values = [param["value"] for param in request.body["params"]]
        if max(map(len, values)) > 500:
            words = {"error_code": "INVALID_PARAMETER_VALUE", "message": "too long"}
            return Answer(400, words)
        return Answer()

    with ScriptedApi(script).running() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        params = {"long": "x" * 501, "middle": "z" * 240}
        MlflowTracking().describe("0" * 32, name="n", params=params, tags={"t": "v"})
    batches = [r for r in server.requests if r.path.endswith("runs/log-batch")]
    kept = batches[-1].body
    assert kept["params"] == [
        {"key": "long", "value": "x" * MAX_SHORT_VALUE},
        {"key": "middle", "value": "z" * 240},
    ]
    assert kept["tags"] == [{"key": "t", "value": "v"}]
    assert "long" in caplog.text
    assert "middle" not in caplog.text


@pytest.mark.usefixtures("runner")
def test_parameters_that_mlflow_does_not_take(caplog: pytest.LogCaptureFixture) -> None:
    """What MLflow refuses of a job's description is said and fails nothing."""
    run_id, _ = MlflowTracking().start(7)
    MlflowTracking().describe(run_id, name="n", params={"not / a : name?": 1})
    MlflowTracking().describe("0" * 32, name="n", params={"a": 1})
    assert caplog.text.count("did not take the job's parameters") == 2


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_closing_the_active_run(status: RunStatus, mlflow_reader: MlflowReader) -> None:
    """A run gets its final status and is the active one no more."""
    run_id, _ = MlflowTracking().start(7)
    MlflowTracking().close(run_id, status)
    assert mlflow_reader.status(run_id) == status
    assert mlflow.active_run() is None


@pytest.mark.usefixtures("runner")
def test_closing_another_process_run(mlflow_reader: MlflowReader) -> None:
    """A run that is not active here, as a dead runner's, is closed, also twice."""
    run_id = mlflow.MlflowClient().create_run("0").info.run_id
    MlflowTracking().close(run_id, "FAILED")
    MlflowTracking().close(run_id, "FAILED")
    assert mlflow_reader.status(run_id) == "FAILED"


@pytest.mark.usefixtures("runner")
def test_closing_after_plugins_played_with_runs(mlflow_reader: MlflowReader) -> None:
    """The job's run is closed whatever plugins ended, and what they began is too."""
    ours, _ = MlflowTracking().start(7)
    nested = mlflow.start_run(nested=True).info.run_id
    MlflowTracking().close(ours, "FINISHED")
    assert mlflow_reader.status(ours) == mlflow_reader.status(nested) == "FINISHED"
    ours, _ = MlflowTracking().start(7)
    mlflow.end_run()
    other = mlflow.start_run().info.run_id
    MlflowTracking().close(ours, "FAILED")
    assert mlflow_reader.status(ours) == mlflow_reader.status(other) == "FAILED"


@pytest.mark.usefixtures("runner")
def test_what_was_logged_asynchronously_is_there(mlflow_reader: MlflowReader) -> None:
    """What plugins log without waiting has arrived when the run is closed."""
    run_id, _ = MlflowTracking().start(7)
    for step in range(50):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step, synchronous=False)
    MlflowTracking().close(run_id, "FINISHED")
    assert mlflow_reader.metrics(run_id) == {"loss": pytest.approx(0.02)}


@pytest.mark.usefixtures("runner")
def test_a_run_that_mlflow_does_not_know() -> None:
    """Closing what is not there is refused."""
    with pytest.raises(ServiceRefused, match="did not close run"):
        MlflowTracking().close("0" * 32, "FAILED")


def _close_elsewhere(run_id: str) -> tuple[int, str]:
    """Close a run as the fork server does; the exit code and the words."""
    request = StartCloseRun(run_id=run_id, status="KILLED")
    imports = (
        "from dioptra_worker.runner.errands.close_run import main;"
        "from dioptra_worker.protocol.forkserver import StartCloseRun;"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{imports} main({request!r})"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.usefixtures("runner")
def test_what_a_start_has_begun() -> None:
    """Every open run of one start is closed, wherever it is, and no other's."""
    client, token = mlflow.MlflowClient(), uuid.uuid4().hex
    elsewhere = client.create_experiment(f"e{token}")
    tags = {RUNNER_TAG: token}
    runs = [client.create_run(place, tags=tags) for place in ("0", "0", elsewhere)]
    client.set_terminated(runs[1].info.run_id, "FINISHED")
    other = client.create_run("0", tags={RUNNER_TAG: "another"})
    MlflowTracking().close_begun(token, "KILLED")
    MlflowTracking().close_begun(uuid.uuid4().hex, "FAILED")
    found = [client.get_run(run.info.run_id).info.status for run in [*runs, other]]
    assert found == ["KILLED", "FINISHED", "KILLED", "RUNNING"]
    client.set_terminated(other.info.run_id)


def test_nobody_tries_to_close_a_deleted_run_for_ever(
    runner: pytest.MonkeyPatch,
) -> None:
    """A run that is not there, or in the trash, is as good as closed; MLflow may be."""
    client = mlflow.MlflowClient()
    deleted = client.create_run("0").info.run_id
    client.delete_run(deleted)
    for run_id in (deleted, "0" * 32):
        code, words = _close_elsewhere(run_id)
        assert (code, f"MLflow run {run_id} is not closed" in words) == (0, True)
    proxy = ScriptedApi(lambda _: Answer(404, b"404 page not found"))
    with proxy.running():
        runner.setenv("MLFLOW_TRACKING_URI", proxy.url)
        assert _close_elsewhere(deleted)[0] == 1


def test_mlflow_that_is_away(runner: pytest.MonkeyPatch) -> None:
    """MLflow that is away is told within seconds, and the user's patience is kept."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        runner.setenv("MLFLOW_TRACKING_URI", url)
        runner.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        with pytest.raises(ServiceUnavailable, match="did not create a run"):
            MlflowTracking().start(7)
        with pytest.raises(ServiceUnavailable, match="did not close run"):
            MlflowTracking().close("0" * 32, "FAILED")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


# -- artifacts ---------------------------------------------------------------------


@pytest.mark.usefixtures("runner")
def test_a_file_in_s3(
    stack: LocalStack, mlflow_reader: MlflowReader, tmp_path: Path
) -> None:
    """A file lies where its URI says, and MLflow lists it among the run's artifacts."""
    run_id, uri = MlflowTracking().start(7)
    file = tmp_path / "table 1.csv"
    file.write_bytes(b"a,b\n" * 1000)
    found = artifact_store.store(uri).put(file, "data")
    assert found == f"{uri}/data/table 1.csv"
    assert mlflow_reader.artifacts(run_id, "data") == ["data/table 1.csv"]
    bucket, _, key = found.removeprefix("s3://").partition("/")
    body = s3_client(stack.environment()).get_object(Bucket=bucket, Key=key)["Body"]
    assert body.read() == file.read_bytes()


def test_a_large_file_in_s3(
    stack: LocalStack,
    runner: pytest.MonkeyPatch,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """A file larger than one part is uploaded in parts and is whole."""
    run_id, uri = MlflowTracking().start(7)
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(1 << 20) * 20)
    with fault_proxy(stack.environment()["MLFLOW_S3_ENDPOINT_URL"]) as proxy:
        runner.setenv("MLFLOW_S3_ENDPOINT_URL", proxy.url)
        artifact_store.store(uri).put(file, "")
        assert proxy.count("PUT", r"/large\.bin\?.*partNumber=") == 3
    _use(stack, runner)
    assert mlflow_reader.artifacts(run_id) == ["large.bin"]
    copy = mlflow.artifacts.download_artifacts(f"{uri}/large.bin", dst_path=tmp_path)
    assert (tmp_path / copy).read_bytes() == file.read_bytes()


@pytest.mark.usefixtures("runner")
def test_a_folder_in_s3(tmp_path: Path) -> None:
    """A folder keeps its name and all files in it, also those that links lead to."""
    _, uri = MlflowTracking().start(7)
    folder = _folder(tmp_path)
    found = artifact_store.store(uri).put(folder, "out")
    assert found == f"{uri}/out/model"
    _assert_same(found, folder, tmp_path)


@pytest.mark.usefixtures("proxied")
def test_a_folder_through_mlflow(tmp_path: Path) -> None:
    """Where artifacts pass through MLflow, folders and files arrive as well."""
    _, uri = MlflowTracking().start(7)
    assert not uri.startswith("s3://")
    folder = _folder(tmp_path)
    found = artifact_store.store(uri).put(folder, "out")
    assert found == f"{uri}/out/model"
    _assert_same(found, folder, tmp_path)
    file = artifact_store.store(uri).put(folder / "weights.bin", "")
    assert file == f"{uri}/weights.bin"


def _assert_same(uri: str, folder: Path, tmp_path: Path) -> None:
    """What MLflow downloads is what was uploaded; stores know no empty folders."""
    (tmp_path / "copy").mkdir()
    mlflow.artifacts.download_artifacts(uri, dst_path=tmp_path / "copy")
    copies = {
        path.relative_to(tmp_path / "copy" / "model").as_posix(): path.read_bytes()
        for path in (tmp_path / "copy" / "model").rglob("*")
        if path.is_file()
    }
    originals = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert copies == originals
    assert len(copies) == 3


def test_uploads_have_what_mlflow_adds(
    stack: LocalStack, runner: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What MLflow's own store would add to an upload is added, in one or in parts."""
    _, uri = MlflowTracking().start(7)
    small, large = tmp_path / "model" / "small", tmp_path / "model" / "large"
    small.parent.mkdir()
    small.write_bytes(b"x")
    large.write_bytes(bytes(9 << 20))
    runner.setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", '{"ContentType": "text/x-test"}')
    found = artifact_store.store(uri).put(small.parent, "")
    bucket, _, key = found.removeprefix("s3://").partition("/")
    for file in (small, large):
        head = s3_client(stack.environment()).head_object(
            Bucket=bucket, Key=f"{key}/{file.name}"
        )
        assert head["ContentType"] == "text/x-test"
    runner.setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "aws:kms")
    with pytest.raises(ServiceRefused, match=r"MLFLOW_S3_UPLOAD_EXTRA_ARGS.*'aws:kms'"):
        artifact_store.store(uri).put(small, "")


@pytest.mark.usefixtures("runner")
def test_an_empty_folder_in_s3(tmp_path: Path) -> None:
    """A folder of which the store would hold nothing is refused, with the way out."""
    run_id, uri = MlflowTracking().start(7)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ServiceRefused, match="'empty' has no file in it"):
        artifact_store.store(uri).put(tmp_path / "empty", "")
    assert mlflow.artifacts.list_artifacts(run_id=run_id) == []


@pytest.mark.usefixtures("proxied")
def test_an_empty_folder_through_mlflow(tmp_path: Path) -> None:
    """An empty folder is refused where artifacts pass through MLflow, too."""
    _, uri = MlflowTracking().start(7)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ServiceRefused, match="'empty' has no file in it"):
        artifact_store.store(uri).put(tmp_path / "empty", "")


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize("name", ["a%20b", "a?b", "a#b"])
def test_names_that_mlflow_would_change(name: str, tmp_path: Path) -> None:
    """A name under which MLflow would not keep a file is refused, also in a folder."""
    run_id, uri = MlflowTracking().start(7)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / name).write_text("x")
    for path in (folder, folder / name):
        with pytest.raises(ServiceRefused, match=f"{re.escape(name)}.* another name"):
            artifact_store.store(uri).put(path, "out")
    assert mlflow.artifacts.list_artifacts(run_id=run_id) == []


@pytest.mark.usefixtures("proxied")
def test_names_that_mlflow_keeps(tmp_path: Path) -> None:
    """A lone percent sign, spaces and letters of other languages are kept."""
    _, uri = MlflowTracking().start(7)
    file = tmp_path / "100% größe 1.txt"
    file.write_text("x")
    found = artifact_store.store(uri).put(file, "out")
    copy = mlflow.artifacts.download_artifacts(found, dst_path=tmp_path / "copy")
    assert (tmp_path / copy).read_text() == "x"


@pytest.mark.usefixtures("runner")
def test_a_bucket_that_is_not_there(tmp_path: Path) -> None:
    """What S3 will never take is refused, with the file and the place in the words."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ServiceRefused, match=r"'file' for s3://no-such-bucket/a/file"):
        artifact_store.store("s3://no-such-bucket/a").put(tmp_path / "file", "")


def test_s3_that_is_away(runner: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """S3 that is away may be back later."""
    (tmp_path / "file").write_text("x")
    runner.setattr(s3, "client", _impatient)
    with pytest.raises(ServiceUnavailable, match="S3 did not take 'file'"):
        artifact_store.store("s3://bucket/a").put(tmp_path / "file", "")


def _impatient() -> object:
    return boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_s3_without_credentials(runner: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials or an endpoint that cannot be used are refusals in words."""
    (tmp_path / "file").write_text("x")
    runner.setenv("MLFLOW_S3_ENDPOINT_URL", "no address")
    with pytest.raises(ServiceError, match="no address"):
        artifact_store.store("s3://bucket/a").put(tmp_path / "file", "")
    runner.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ServiceRefused, match="nobody"):
        artifact_store.store("s3://bucket/a").put(tmp_path / "file", "")


def test_the_certificates_of_the_environment_count(
    runner: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An S3 endpoint with a certificate of one's own is trusted by AWS_CA_BUNDLE."""
    bundle = str(tmp_path / "ours.pem")
    runner.setenv("AWS_CA_BUNDLE", bundle)
    assert _trusted(s3.client()) == bundle
    runner.setenv("MLFLOW_S3_IGNORE_TLS", "true")
    assert _trusted(s3.client()) is False


def _trusted(client: Any) -> object:
    return client._endpoint.http_session._verify
