"""A run in a folder: the layout of MLflow's file store, written without MLflow.

Importing MLflow takes longer than most runs on a laptop, so a run without a server
writes the few small files itself. Plugins that call ``mlflow.*`` import it and find
the same run, and MLflow's page can show the folder.

The layout is that of MLflow 2.22 to 3.17: ``EXPERIMENT/RUN/`` with ``meta.yaml``, a
file per parameter and tag, and a file per metric with lines of time, value and step.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import shutil
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import yaml

from dioptra_worker.common.environment import environment_variables
from dioptra_worker.errors import ServiceRefused
from dioptra_worker.tracking.mlflow import active_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.protocol.run_rules import RunStatus
    from dioptra_worker.tracking.upload_digests import UploadDigests

_log = logging.getLogger("dioptra_worker.tracking")

SERVICE = "the local store"
EXPERIMENT = "0"
_SOURCE_LOCAL = 4
_RUNNING = 1
_STATUS = {"FINISHED": 3, "FAILED": 4, "KILLED": 5}
"""MLflow's numbers, as in its file ``meta.yaml``."""


class FolderTracking:
    """Keeps runs below one folder.

    Args:
        root: The folder; made when it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._environment = contextlib.ExitStack()

    def start(
        self, job_id: int, token: str = "", *, again: bool = False
    ) -> tuple[str, str]:
        """Begin a run; see `dioptra_worker.tracking.base.Tracking`."""
        del job_id, token, again  # there is no server that would know them
        run_id = uuid.uuid4().hex
        folder = self.run_folder(run_id)
        try:
            self._create_experiment()
            for name in ("artifacts", "metrics", "params", "tags"):
                (folder / name).mkdir(parents=True)
            self._write_metadata(folder, _new_metadata(run_id, folder))
            self._write_atomically(folder / "tags" / "mlflow.user", _user())
        except OSError as error:
            raise ServiceRefused(
                f"{str(self.root)!r} cannot keep the run: {error.strerror or error}",
                service=SERVICE,
            ) from error
        self._point_mlflow_here(run_id)
        return run_id, (folder / "artifacts").as_uri()

    def run_folder(self, run_id: str) -> Path:
        """The folder of a run."""
        return self.root / EXPERIMENT / run_id

    def describe(
        self,
        run_id: str,
        *,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        """Give the run its name, the job's parameters, and tags."""
        folder = self.run_folder(run_id)
        try:
            self._update_metadata(folder, run_name=name)
            self._write_atomically(folder / "tags" / "mlflow.runName", name)
            for key, value in params.items():
                self._write_atomically(
                    _path_for_name(folder / "params", key), str(value)
                )
            for key, text in tags.items():
                self.tag(run_id, key, text)
        except OSError as error:
            _log.warning("the local store did not take the parameters: %s", error)

    def tag(self, run_id: str, name: str, value: str) -> None:
        """Give the run a tag."""
        self._write_atomically(
            _path_for_name(self.run_folder(run_id) / "tags", name), value
        )

    def store(self, uri: str) -> FolderStore:
        """The store of the run's artifacts."""
        return FolderStore(Path(unquote(urlsplit(uri).path)))

    def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
        """Keep a metric of the run."""
        file = _path_for_name(self.run_folder(run_id) / "metrics", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(f"{_now_ms()} {value} {step}\n")

    def metrics(self, run_id: str) -> Mapping[str, tuple[float, int]]:
        """The last value and step of each of the run's metrics."""
        return {name: points[-1] for name, points in self.points(run_id).items()}

    def points(self, run_id: str) -> Mapping[str, list[tuple[float, int]]]:
        """Value and step of each point of each of the run's metrics, in order."""
        return points_of(self.run_folder(run_id))

    def direct_points(self) -> Mapping[str, int]:
        """None: they lie beside the others, in the same file."""
        return {}

    def close(self, run_id: str, status: RunStatus) -> None:
        """Give the run its final status."""
        active_run.end_all(status)
        self._update_metadata(
            self.run_folder(run_id), status=_STATUS[status], end_time=_now_ms()
        )
        self._environment.close()

    def close_begun(self, token: str, status: RunStatus) -> None:
        """Nothing: the id of a run in a folder is known before there is one."""
        del token, status

    def _point_mlflow_here(self, run_id: str) -> None:
        """Let a plugin's ``mlflow.*`` find this run, until it is closed."""
        variables = {
            "MLFLOW_ALLOW_FILE_STORE": "true",  # which it has begun to discourage
            "MLFLOW_TRACKING_URI": self.root.as_uri(),
        }
        self._environment.enter_context(environment_variables(variables))
        active_run.attach(run_id)

    def _create_experiment(self) -> None:
        """Make the experiment that MLflow, too, makes in a new folder."""
        folder = self.root / EXPERIMENT
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "meta.yaml"
        if not file.exists():
            now = _now_ms()
            content = {
                "artifact_location": folder.as_uri(),
                "creation_time": now,
                "experiment_id": EXPERIMENT,
                "last_update_time": now,
                "lifecycle_stage": "active",
                "name": "Default",
            }
            self._write_atomically(file, yaml.safe_dump(content))

    def _update_metadata(self, folder: Path, **values: object) -> None:
        file = folder / "meta.yaml"
        self._write_metadata(folder, yaml.safe_load(file.read_text("utf-8")) | values)

    def _write_metadata(self, folder: Path, content: Mapping[str, object]) -> None:
        self._write_atomically(folder / "meta.yaml", yaml.safe_dump(dict(content)))

    def _write_atomically(self, file: Path, text: str) -> None:
        """Write a file that is never seen half written."""
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(file)


class FolderStore:
    """Artifacts as files below the run's folder.

    Args:
        folder: The run's artifacts.
    """

    part_size = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(
        self, path: Path, folder: str, *, digests: UploadDigests | None = None
    ) -> str:
        """Copy a file or folder; see `dioptra_worker.tracking.artifact_store.Store`."""
        del digests  # reads all files itself
        target = self._folder / folder / path.name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                shutil.copy2(path, target)
        except OSError as error:
            raise ServiceRefused(
                f"{str(self._folder)!r} did not take {path.name!r}: {error}",
                service=SERVICE,
            ) from error
        return target.as_uri()


def points_of(run: Path) -> Mapping[str, list[tuple[float, int]]]:
    """Value and step of each point of each metric in the folder of a run, in order.

    Raises:
        OSError: It cannot be read.
        ValueError: There is a line that is no point.
    """
    folder = run / "metrics"
    return {
        file.relative_to(folder).as_posix(): _points(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _new_metadata(run_id: str, folder: Path) -> dict[str, object]:
    return {
        "artifact_uri": (folder / "artifacts").as_uri(),
        "end_time": None,
        "entry_point_name": "",
        "experiment_id": EXPERIMENT,
        "lifecycle_stage": "active",
        "run_id": run_id,
        "run_name": run_id[:8],
        "source_name": "",
        "source_type": _SOURCE_LOCAL,
        "source_version": "",
        "start_time": _now_ms(),
        "status": _RUNNING,
        "tags": [],
        "user_id": _user(),
    }


def _path_for_name(folder: Path, name: str) -> Path:
    """The file for a name, which may have slashes in it, as in MLflow.

    Raises:
        OSError: It would lie elsewhere.
    """
    file = folder / name
    if not name or ".." in Path(name).parts or not file.is_relative_to(folder):
        raise OSError(f"{name!r} cannot be a name there")
    return file


def _points(file: Path) -> list[tuple[float, int]]:
    found = []
    for line in file.read_text("utf-8").splitlines():
        _, value, *step = line.split()
        found.append((float(value), int(step[0]) if step else 0))
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
