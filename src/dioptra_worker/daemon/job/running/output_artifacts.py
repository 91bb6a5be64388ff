"""Which artifacts a job may have registered: its plan's, where its run keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dioptra_worker.daemon.job.preparation import if_ready
from dioptra_worker.provenance.manifest import FOLDER
from dioptra_worker.supervision.channel.message_limits import NotBelieved

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dioptra_worker.daemon.job.preparation import Prepared
    from dioptra_worker.protocol.messages import ArtifactStored, Plan


class OutputArtifacts:
    """The output artifacts of one job, each of which is stored once.

    Attributes:
        uri: Where the artifacts of the job's run go, once it has one.
    """

    def __init__(self, prepared: Future[Prepared]) -> None:
        """Prepare.

        Args:
            prepared: What the runner is given, once it is there.
        """
        self.uri = ""
        self._prepared = prepared
        self._stored: set[str] = set()

    def labelled(self, artifact: ArtifactStored) -> ArtifactStored:
        """An artifact as the daemon knows it, whatever the runner says of it.

        Raises:
            NotBelieved: The job does not make it, or it lies elsewhere.
        """
        prepared = if_ready(self._prepared)
        task = None if prepared is None else _task_of(prepared.plan, artifact.name)
        if prepared is None or task is None:
            raise NotBelieved(f"the job has no output artifact {artifact.name!r:.80}")
        if artifact.name in self._stored:
            raise NotBelieved(f"the artifact {artifact.name!r} is stored already")
        if not self._is_of_run(artifact.uri):
            raise NotBelieved(
                f"the artifact {artifact.name!r} does not lie at {artifact.uri!r:.200}:"
                f" the job's run has its artifacts below {self.uri!r}"
            )
        self._stored.add(artifact.name)
        return replace(
            artifact,
            plugin_snapshot_id=task[0],
            task_id=task[1],
            worker_run=prepared.worker_run,
            group_id=prepared.group_id,
        )

    def _is_of_run(self, uri: str) -> bool:
        """Whether an address is below the run's, and not in the worker's own folder."""
        root = self.uri.rstrip("/") + "/"
        steps = unquote(uri.removeprefix(root)).split("/")
        is_inside = bool(self.uri) and uri.startswith(root)
        return is_inside and not {"..", "."} & {*steps} and steps[0] not in {"", FOLDER}


def _task_of(plan: Plan, name: str) -> tuple[int, int] | None:
    """The ids of the plugin snapshot and the task of an output artifact."""
    outputs = plan.config.get("artifact_outputs")
    output = outputs.get(name) if isinstance(outputs, dict) else None
    task = output.get("task") if isinstance(output, dict) else None
    called = task.get("name") if isinstance(task, dict) else None
    for known in plan.artifact_tasks:
        if known.name == called:
            return known.plugin_snapshot_id, known.task_id
    return None
