"""What worker runs have produced: found by their signature, and deleted.

The REST API cannot delete an artifact. So its bytes are removed from the store, and
its description says that it is deleted; a worker that is asked to read it then says
so. Each step can be repeated, and a deletion that was cut short is completed by the
next.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dioptra_worker.api import shapes
from dioptra_worker.api.errors import expect_shape
from dioptra_worker.api.models import Artifact
from dioptra_worker.errors import NotFound
from dioptra_worker.provenance import DELETED, signature
from dioptra_worker.provenance.run_tags import RESULTS_DELETED
from dioptra_worker.tools.lineage.errors import StillInUse
from dioptra_worker.tools.lineage.store import remove

if TYPE_CHECKING:
    from collections.abc import Callable

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.tools.lineage.runs import Execution, FoundRun, Runs

ACTIVE = frozenset({"queued", "started", "deferred"})


class Results:
    """The artifacts of worker runs.

    Every method raises `ServiceError` when the API, MLflow or the store refuses or does
    not answer.
    """

    def __init__(self, api: DioptraApi, runs: Runs) -> None:
        self._api = api
        self._runs = runs

    def of(self, worker_run: str) -> list[Artifact]:
        """The artifacts that a worker run has signed, the deleted among them."""
        found = self._api.pages("artifacts/", search=f'description:"*{worker_run}*"')
        with expect_shape("artifacts/"):
            artifacts = [Artifact.read(body) for body in found]
        return [each for each in artifacts if signature(each.description) == worker_run]

    def delete(
        self,
        run: FoundRun,
        *,
        user: str,
        force: bool = False,
        say: Callable[[str], None],
    ) -> int:
        """Delete all artifacts that a worker run has produced.

        Args:
            run: The worker run.
            user: Who deletes them, for the record.
            force: Whether to delete also what a model consists of.
            say: Told about each artifact.

        Returns:
            How many were deleted; 0 when all were before.

        Raises:
            StillInUse: A job of it has not ended, or an artifact is a model version.
        """
        self._refuse_active(run)
        results = [result for result in self.of(run.id) if not result.is_deleted]
        if not force:
            self._refuse_models(results)
        runs = {execution.job_id: execution for execution in run.executions}
        for result in results:
            self._delete(result, runs.get(result.job_id))
            say(f"artifact {result.id} of job {result.job_id} is deleted")
        words = f"{datetime.now(UTC).isoformat(timespec='seconds')} {user}"
        for execution in run.executions:
            if not execution.results_deleted:
                self._runs.mark(execution.run_id, {RESULTS_DELETED: words})
        return len(results)

    def _delete(self, result: Artifact, execution: Execution | None) -> None:
        if execution is not None:
            root = execution.artifact_uri.rstrip("/") + "/"
            path = result.uri.removeprefix(root).rstrip("/")
            # Anybody can register any address: of one elsewhere nothing is removed.
            is_inside = not {"", ".", ".."} & {*unquote(path).split("/")}
            if result.uri.startswith(root) and is_inside:
                remove(execution.artifact_uri, path)
        self._api.request(
            "PUT",
            f"artifacts/{result.id}",
            # Without the two ids the API would drop the task, and refuse every later
            # job that names the artifact with an error of its own.
            json={
                "description": f"{DELETED} {result.description}",
                "pluginSnapshotId": result.plugin_snapshot_id,
                "taskId": result.task_id,
            },
        )

    def _refuse_active(self, run: FoundRun) -> None:
        for execution in run.executions:
            try:
                status = self._api.job(execution.job_id).status
            except NotFound:
                continue
            if status in ACTIVE:
                raise StillInUse(
                    f"job {execution.job_id} of worker run {run.id} is {status}: wait"
                    " for its end, or cancel it"
                )

    def _refuse_models(self, results: list[Artifact]) -> None:
        ids = {result.id for result in results}
        for model in self._api.pages("models/"):
            with expect_shape("models/"):
                shapes.check(model, shapes.NAMED)
            path = f"models/{model['id']}/versions"
            for version in self._api.pages(path):
                with expect_shape(path):
                    shapes.check(version, shapes.VERSION)
                if version["artifact"]["id"] in ids:
                    raise StillInUse(
                        f"artifact {version['artifact']['id']} is version"
                        f" {version['versionNumber']} of model {model['name']!r}:"
                        " delete it with --force, and that version with it"
                    )
