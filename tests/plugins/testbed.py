"""Puts plugins and entrypoints onto the platform, submits jobs, reads back what came.

A test writes its plugin as a string and its graph as a mapping; what the platform
wants to know beside (which functions, their inputs and outputs) is read off the code.
"""

from __future__ import annotations

import ast
import contextlib
import html
import io
import json
import tarfile
import time
import uuid
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml
from tests.plugins.people import Person
from tests.plugins.until import pauses, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.plugins.clients import ApiClient

    from dioptra_worker.tools.local import LocalStack

PLUGIN_HEADER = """\
import os, signal, subprocess, sys, time
from pathlib import Path

import structlog
from dioptra import pyplugs
from dioptra.sdk.api.artifact import ArtifactTaskInterface

LOG = structlog.get_logger()


class Text(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, suffix="txt", **kwargs):
        path = Path(working_dir, name + "." + suffix)
        path.write_text(str(contents))
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return Path(working_dir, path).read_text()

    @staticmethod
    def validation():
        return {"suffix": {"enum": ["txt", "md"]}}


class Folder(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = Path(working_dir, name)
        for key, text in contents.items():
            file = path / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        root = Path(working_dir, path)
        return {
            str(file.relative_to(root)): file.read_text()
            for file in sorted(root.rglob("*"))
            if file.is_file()
        }

    @staticmethod
    def validation():
        return None

"""
"""What every test plugin begins with: imports and two artifact tasks."""


FINAL = ("finished", "failed")
"""The statuses of jobs that are over."""


@dataclass(frozen=True)
class Entrypoint:
    """An entrypoint on the platform.

    Attributes:
        id: Its id.
        name: Its name.
        plugin: Its plugin's name.
    """

    id: int
    name: str
    plugin: str


@dataclass(frozen=True)
class Registered:
    """What a client has registered, for whoever asks for the same again.

    To register an entrypoint takes the REST API a tenth of a second of the processor.

    Attributes:
        jobs: The ids of the jobs that have not been seen to end.
        types: The ids of the types that the platform brings, by name.
        plugins: The id and the name of each plugin, by its files.
        entrypoints: The entrypoints by what they were made of.
    """

    jobs: set[int] = field(default_factory=set)
    types: dict[str, int] = field(default_factory=dict)
    plugins: dict[str, tuple[int, str]] = field(default_factory=dict)
    entrypoints: dict[str, Entrypoint] = field(default_factory=dict)


_REGISTERED: weakref.WeakKeyDictionary[ApiClient, Registered] = (
    weakref.WeakKeyDictionary()
)


@dataclass(frozen=True)
class LogLine:
    """One record of a job's log, unescaped; *text* is without its time stamp."""

    severity: str
    logger: str
    text: str
    created: str


class Platform:
    """The platform as a test's author sees it, with a queue that nobody else uses."""

    def __init__(self, api: ApiClient, queue: str | None = None) -> None:
        """Prepare.

        Args:
            api: Its REST API.
            queue: A queue that the API knows; without one it gets a new one.
        """
        self.api = api
        self.queue = queue or f"q{uuid.uuid4().hex[:10]}"
        if queue is None:
            self.add_queue(self.queue)
        self._experiment: int | None = None
        self._registered = _REGISTERED.setdefault(api, Registered())
        self._queues: dict[str, int] = {}
        self._linked: set[tuple[int, int]] = set()

    def entrypoint(
        self,
        source: str,
        graph: Mapping[str, Any],
        *,
        artifact_outputs: Mapping[str, Any] | None = None,
        artifact_inputs: Mapping[str, Sequence[str]] | None = None,
        parameters: Mapping[str, Any] | None = None,
        files: Mapping[str, str] | None = None,
        own: bool = False,
    ) -> Entrypoint:
        """Register a plugin and an entrypoint, or return those that are the same.

        Args:
            source: The plugin's ``tasks.py`` after `PLUGIN_HEADER`.
            graph: The steps.
            artifact_outputs: Output artifacts, with `Text` or `Folder` as task.
            artifact_inputs: Output names by input artifact; every type is ``any``.
            parameters: Defaults of global parameters; the type is read off them.
            files: More files of the plugin, by name.
            own: Register both under a fresh name in any case, for a test that changes
                them.
        """
        return self.register(
            {"__init__.py": "", **(files or {}), "tasks.py": PLUGIN_HEADER + source},
            yaml.safe_dump(dict(graph), sort_keys=False),
            yaml.safe_dump(dict(artifact_outputs), sort_keys=False)
            if artifact_outputs
            else "",
            artifact_inputs=artifact_inputs,
            parameters=parameters,
            own=own,
        )

    def register(
        self,
        files: Mapping[str, str],
        graph: str,
        artifact_graph: str = "",
        *,
        artifact_inputs: Mapping[str, Sequence[str]] | None = None,
        parameters: Mapping[str, Any] | None = None,
        output: str = "value",
        outputs: Mapping[str, Sequence[str]] | None = None,
        own: bool = False,
    ) -> Entrypoint:
        """Register a plugin's files and an entrypoint as they are; see `entrypoint`.

        Args:
            files: The plugin's files by name.
            graph: The steps, as YAML.
            artifact_graph: The output artifacts, as YAML.
            artifact_inputs: Output names by input artifact; every type is ``any``.
            parameters: Defaults of global parameters; the type is read off them.
            output: What the output of a task that returns something is called.
            outputs: The names of a task's outputs, where it has several.
            own: See `entrypoint`.
        """
        plugin_id, plugin = self._plugin(files, output, outputs or {}, own=own)
        types = self._parameter_types()
        body = {
            "group": 1,
            "description": "",
            "taskGraph": graph,
            "artifactGraph": artifact_graph,
            "parameters": [
                {
                    "name": key,
                    "defaultValue": json.dumps(value)
                    if isinstance(value, list | dict)
                    else str(value),
                    "parameterType": _parameter_type(value),
                }
                for key, value in (parameters or {}).items()
            ],
            "artifactParameters": [
                {
                    "name": key,
                    "outputParams": [
                        {"name": given, "parameterType": types["any"]}
                        for given in names
                    ],
                }
                for key, names in (artifact_inputs or {}).items()
            ],
            "plugins": [plugin_id],
            "artifactPlugins": [plugin_id],
        }
        known, key = self._registered.entrypoints, json.dumps(body)
        if key in known and not own:
            return known[key]
        name = _fresh_name()
        number: int = self.api.post("/entrypoints/", {**body, "name": name})["id"]
        made = Entrypoint(number, name, plugin)
        if not own:
            known[key] = made
        return made

    def change(self, entrypoint: Entrypoint, graph: Mapping[str, Any]) -> None:
        """Give an entrypoint another graph, and no artifacts; it has a new snapshot."""
        shown = self.api.get(f"/entrypoints/{entrypoint.id}")
        body = {
            "name": entrypoint.name,
            "description": "changed",
            "taskGraph": yaml.safe_dump(dict(graph), sort_keys=False),
            "artifactGraph": "",
            "parameters": shown["parameters"],
            "artifactParameters": [],
            "queues": [queue["id"] for queue in shown["queues"]],
            "pluginSnapshotIds": [part["snapshotId"] for part in shown["plugins"]],
            "artifactPluginSnapshotIds": [],
        }
        self.api.put(f"/entrypoints/{entrypoint.id}", body)
        for key, known in list(self._registered.entrypoints.items()):
            if known == entrypoint:  # it is not any more what that was
                del self._registered.entrypoints[key]
        self._linked = {link for link in self._linked if link[0] != entrypoint.id}

    def submit(
        self,
        entrypoint: Entrypoint,
        queue: str | None = None,
        *,
        values: Mapping[str, str] | None = None,
        artifacts: Mapping[str, Mapping[str, int]] | None = None,
        timeout: str = "10m",
    ) -> int:
        """Submit a job, to this platform's own queue by default; returns its id."""
        experiment = self.experiment
        queue_id = self._queue_id(queue or self.queue)
        self._link(entrypoint, queue_id)
        body = {
            "description": "",
            "queue": queue_id,
            "entrypoint": entrypoint.id,
            "values": dict(values or {}),
            "artifactValues": dict(artifacts or {}),
            "timeout": timeout,
        }
        job: int = self.api.post(f"/experiments/{experiment}/jobs", body)["id"]
        self._registered.jobs.add(job)
        return job

    def run(
        self,
        entrypoint: Entrypoint,
        *,
        ends: str = "finished",
        seconds: float = 60.0,
        **given: Any,
    ) -> int:
        """Submit a job and wait for its end, which must be the one that is expected.

        Args:
            entrypoint: What to run.
            ends: ``finished`` or ``failed``.
            seconds: How long it may take.
            **given: As `submit` takes it.

        Returns:
            The job's id.
        """
        job = self.submit(entrypoint, **given)
        status = self.wait(job, seconds=seconds)
        assert status == ends, self.text(job)
        return job

    def add_queue(self, name: str) -> None:
        """Register a queue."""
        self.api.post("/queues/", {"group": 1, "name": name, "description": ""})

    @property
    def experiment(self) -> int:
        """An experiment for this test's jobs."""
        if self._experiment is None:
            body = {"group": 1, "name": f"x{uuid.uuid4().hex[:10]}", "description": ""}
            self._experiment = self.api.post("/experiments/", body)["id"]
        return self._experiment

    @property
    def experiment_name(self) -> str:
        """What that experiment is called."""
        return str(self.api.get(f"/experiments/{self.experiment}")["name"])

    # -- reading back ----------------------------------------------------------

    def job(self, job_id: int) -> Any:
        """The job as the API shows it."""
        return self.api.get(f"/jobs/{job_id}")

    def status(self, job_id: int) -> str:
        """The job's status."""
        return str(self.api.get(f"/jobs/{job_id}/status")["status"])

    def wait(
        self, job_id: int, *wanted: str, seconds: float = 60.0, every: float = 0.5
    ) -> str:
        """Wait until a job has one of the statuses (default: finished or failed).

        No other request is sent that often; it is the cheapest that the REST API has.
        """
        ends = wanted or FINAL
        deadline = time.monotonic() + seconds
        for pause in pauses(first=0.1, longest=every):
            if (status := self.status(job_id)) in ends:
                if status in FINAL:
                    self._registered.jobs.discard(job_id)
                return status
            if time.monotonic() > deadline:
                log = "\n".join(map(str, self.log(job_id)))
                raise AssertionError(f"job {job_id} is still {status!r}\n{log}")
            time.sleep(pause)
        raise AssertionError("pauses() is endless")

    def wait_for_line(self, job_id: int, text: str, *, seconds: float = 30.0) -> None:
        """Wait until a line of a job's log has the text."""
        until(
            lambda: any(text in line.text for line in self.log(job_id)),
            seconds=seconds,
            says=lambda: self.text(job_id),
        )

    def log(self, job_id: int) -> list[LogLine]:
        """The job's log."""
        found: list[Any] = []
        page = [None]
        while page:
            page = self.api.get(
                f"/jobs/{job_id}/log", index=len(found), pageLength=1000
            )["data"]
            found += page
        return [
            LogLine(
                severity=entry["severity"],
                logger=entry["loggerName"],
                text=html.unescape(entry["message"]).partition("Z ")[2],
                created=entry["createdOn"],
            )
            for entry in found
        ]

    def text(self, job_id: int) -> str:
        """The job's log as text."""
        return "\n".join(line.text for line in self.log(job_id))

    def run_id(self, job_id: int) -> str:
        """The job's MLflow run, as MLflow writes it."""
        found = self.api.get(f"/jobs/{job_id}/mlflowRun")["mlflowRunId"]
        return str(found).replace("-", "")

    def artifacts(self, job_id: int) -> dict[str, Any]:
        """The job's artifacts by name (the part of the URI after ``artifacts/``)."""
        found = [
            self.api.get(f"/artifacts/{entry['id']}")
            for entry in self.job(job_id)["artifacts"]
        ]
        return {
            entry["artifactUri"].rpartition("artifacts/")[2].split("/")[0]: entry
            for entry in found
        }

    def content(self, artifact: Mapping[str, Any]) -> bytes:
        """An artifact's bytes, read through the API."""
        return self.api.content(
            f"/artifacts/{artifact['id']}/snapshots/{artifact['snapshot']}/contents"
        )

    def folder(self, artifact: Mapping[str, Any]) -> dict[str, bytes]:
        """A directory artifact's files by their path in the archive."""
        data = self.api.content(
            f"/artifacts/{artifact['id']}/snapshots/{artifact['snapshot']}/contents",
            fileType="tar_gz",
        )
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return {
                member.name: file.read()
                for member in tar
                if (file := tar.extractfile(member)) is not None
            }

    # -- plumbing --------------------------------------------------------------

    def _plugin(
        self,
        files: Mapping[str, str],
        output: str,
        outputs: Mapping[str, Sequence[str]],
        *,
        own: bool,
    ) -> tuple[int, str]:
        """The id and the name of a plugin of these files."""
        any_type = self._parameter_types()["any"]
        bodies = [
            {
                "filename": file,
                "contents": text,
                "description": "",
                "tasks": _tasks(text, any_type, output, outputs),
            }
            for file, text in files.items()
        ]
        known, key = self._registered.plugins, json.dumps(bodies)
        if key in known and not own:
            return known[key]
        name = _fresh_name()
        plugin = {"group": 1, "name": name, "description": ""}
        number: int = self.api.post("/plugins/", plugin)["id"]
        for body in bodies:
            self.api.post(f"/plugins/{number}/files", body)
        if not own:
            known[key] = number, name
        return number, name

    def _parameter_types(self) -> dict[str, int]:
        """The ids of the types that the platform brings, by name."""
        if not self._registered.types:
            found = self.api.get("/pluginParameterTypes/", pageLength=1000)["data"]
            self._registered.types.update(
                {entry["name"]: entry["id"] for entry in found}
            )
        return self._registered.types

    def _queue_id(self, name: str) -> int:
        if name not in self._queues:
            self._queues[name] = self.api.queue_id(name)
        return self._queues[name]

    def _link(self, entrypoint: Entrypoint, queue: int) -> None:
        """Allow an entrypoint in the experiment and on a queue."""
        if (entrypoint.id, queue) in self._linked:
            return
        self.api.post(
            f"/experiments/{self.experiment}/entrypoints", {"ids": [entrypoint.id]}
        )
        self.api.post(f"/entrypoints/{entrypoint.id}/queues", {"ids": [queue]})
        self._linked.add((entrypoint.id, queue))


@pytest.fixture(scope="module")
def platform(api: ApiClient) -> Platform:
    """A queue for the tests of a module; those with workers of their own have more."""
    return Platform(api)


@pytest.fixture
def platform_of_a_test(api: ApiClient) -> Platform:
    """A queue for one test; a module says ``platform = platform_of_a_test``."""
    return Platform(api)


@pytest.fixture
def own_platform(own_api: ApiClient) -> Platform:
    """A queue for one test, of services that it may stop."""
    return Platform(own_api)


@pytest.fixture
def person(stack: LocalStack, tmp_path: Path) -> Person:
    """Somebody who uses what the tests' stack has."""
    return Person(stack.environment(), tmp_path)


@pytest.fixture(scope="module", autouse=True)
def no_jobs_left() -> Iterator[None]:
    """Delete the jobs of a module that wait or run for ever.

    Each worker asks the REST API for all that there are when it starts, and the API
    takes some milliseconds for each.
    """
    yield
    for client, registered in list(_REGISTERED.items()):
        with contextlib.suppress(requests.ConnectionError):  # its stack is gone
            while registered.jobs:
                path = f"{client.root}/jobs/{registered.jobs.pop()}"
                answer = client.session.get(f"{path}/status", timeout=30.0)
                if answer.ok and answer.json()["status"] not in FINAL:
                    client.session.delete(path, timeout=30.0)


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """A folder in which a job and its test leave marks for each other."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def _fresh_name() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


def _tasks(
    source: str, any_type: int, name: str, several: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The tasks of a plugin file, in the API's words."""

    def named(*names: str) -> list[dict[str, Any]]:
        return [{"name": each, "parameterType": any_type} for each in names]

    functions, artifacts = [], []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.bases:
            artifacts.append({"name": node.name, "outputParams": named(name)})
        elif isinstance(node, ast.FunctionDef) and node.decorator_list:
            optional = len(node.args.args) - len(node.args.defaults)
            functions.append(
                {
                    "name": node.name,
                    "inputParams": [
                        {
                            "name": argument.arg,
                            "parameterType": any_type,
                            "required": index < optional,
                        }
                        for index, argument in enumerate(node.args.args)
                    ],
                    "outputParams": named(*several.get(node.name, [name]))
                    if _returns(node)
                    else [],
                }
            )
    return {"functions": functions, "artifacts": artifacts}


def _returns(node: ast.FunctionDef) -> bool:
    return any(
        isinstance(child, ast.Return) and child.value is not None
        for child in ast.walk(node)
    )


def _parameter_type(value: object) -> str:
    with contextlib.suppress(KeyError):
        return {
            bool: "boolean",
            int: "integer",
            float: "float",
            str: "string",
            list: "list",
            dict: "mapping",
        }[type(value)]
    raise TypeError(f"no parameter type for {value!r}")
