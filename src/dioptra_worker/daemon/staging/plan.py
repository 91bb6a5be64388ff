"""Builds a job's plan from what the REST API has, independent calls side by side."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from dioptra_worker.api.errors import expect_shape, of_kind
from dioptra_worker.api.models import module_name, package_name, resource_id
from dioptra_worker.common.files.archives import unpack
from dioptra_worker.daemon.staging.input_artifacts import InputArtifacts
from dioptra_worker.protocol.messages import ArtifactTask, InputArtifact, Plan
from dioptra_worker.provenance import typed_defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from dioptra_worker.api.models import ArtifactParameter, Job
    from dioptra_worker.common.background import Background
    from dioptra_worker.common.files.workspace import Workspace
    from dioptra_worker.daemon.staging.job_answers import JobAnswers
    from dioptra_worker.daemon.staging.transfer import TransferContext
    from dioptra_worker.provenance import Parameter

T = TypeVar("T")


class PlanBuilder:
    """Builds one job's plan, and fills its workspace with what that names.

    Attributes:
        wanted: The artifacts that the job reads, once the plan is built.
        declared: The parameters that its entrypoint declares, once it is.
    """

    def __init__(
        self,
        context: TransferContext,
        job: Job,
        space: Workspace,
        answers: JobAnswers,
    ) -> None:
        """Prepare; nothing is fetched yet.

        Args:
            context: What all transfers share.
            job: What for.
            space: Where to.
            answers: What the API was asked for already.
        """
        self._context = context
        self._answers = answers
        self._api = context.api
        self._job = job
        self._space = space
        self._cache = context.cache
        self._inputs = InputArtifacts(context, space)
        self.wanted: list[ArtifactParameter] = []
        self.declared: tuple[Parameter, ...] = ()

    @property
    def digests(self) -> Mapping[Path, str]:
        """The SHA-256 of files of inputs that was computed while they came."""
        return self._inputs.digests

    def build(self, pool: Background) -> Plan:
        """Fetch it all.

        Args:
            pool: Runs the calls side by side.

        Returns:
            What the runner is to do; its folders are filled.

        Raises:
            ServiceError: If the API refused, or did not come back in time.
            BundleError: If an archive cannot be unpacked.
        """
        api, job = self._api, self._job
        bundles = [
            self._start(pool, self._task_plugins),
            self._start(pool, self._artifact_plugins),
        ]
        config = self._start(pool, lambda: self._answers.config(job))
        parameters = self._start(pool, lambda: self._answers.parameters(job))
        writers = self._start(pool, self._writers)
        declared = self._start(pool, lambda: api.declared_parameters(job))
        wanted = self._start(pool, lambda: self._answers.inputs(job)).result()
        self.wanted = list(wanted)
        # Several inputs may be one artifact, or read by one plugin: each is had once.
        readers = {(it.plugin_id, it.plugin_snapshot_id): it for it in wanted}
        contents = {(it.artifact_id, it.artifact_snapshot_id): it for it in wanted}
        bundles += [
            self._start(pool, partial(self._reader, artifact))
            for artifact in readers.values()
        ]
        bundles += [
            pool.submit(self._inputs.stage_in, artifact)
            for artifact in contents.values()
        ]
        for bundle in bundles:
            bundle.result()
        self.declared = declared.result()
        return Plan(
            job_id=job.id,
            entrypoint=job.entrypoint_name,
            config=config.result(),
            parameters=parameters.result(),
            artifact_tasks=writers.result(),
            inputs=tuple(self._input(artifact) for artifact in wanted),
            plugins=str(self._space.plugins),
            artifact_plugins=str(self._space.artifact_plugins),
            defaults=typed_defaults(self.declared),
        )

    def _start(self, pool: Background, call: Callable[[], T]) -> Future[T]:
        return pool.submit(self._context.retry, call)

    def _task_plugins(self) -> None:
        self._download_and_unpack(
            f"{self._entrypoint}/plugins",
            partial(self._api.plugins_bundle, self._job),
            self._space.plugins,
            what="the entrypoint's plugin bundle",
        )

    def _artifact_plugins(self) -> None:
        self._download_and_unpack(
            f"{self._entrypoint}/artifactPlugins",
            partial(self._api.artifact_plugins_bundle, self._job),
            self._space.artifact_plugins,
            what="the entrypoint's artifact plugin bundle",
        )

    def _writers(self) -> tuple[ArtifactTask, ...]:
        """The tasks that artifacts may be written with."""

        def download(file: Path) -> None:
            found = self._api.artifact_plugins(self._job)
            file.write_text(json.dumps(found), encoding="utf-8")

        path = f"{self._entrypoint}/artifactPlugins"
        with (
            self._space.download() as file,
            self._cache.cached_download(f"{path}.json", file, download),
            expect_shape(path),
        ):
            return tuple(_artifact_tasks(json.loads(file.read_bytes())))

    def _reader(self, artifact: ArtifactParameter) -> None:
        """The plugin that reads an artifact."""
        ids = artifact.plugin_id, artifact.plugin_snapshot_id
        self._download_and_unpack(
            "plugins/{}/snapshots/{}".format(*ids),
            partial(self._api.plugin_bundle, *ids),
            self._space.reader(*ids),
            what=f"the plugin of artifact {artifact.name!r}",
        )

    def _input(self, artifact: ArtifactParameter) -> InputArtifact:
        bundle = self._space.reader(artifact.plugin_id, artifact.plugin_snapshot_id)
        return InputArtifact(
            name=artifact.name,
            directory=str(self._inputs.folder(artifact)),
            file_name=PurePosixPath(artifact.uri).name,
            bundle=str(bundle),
            package=artifact.plugin_name,
            module=artifact.module,
            task=artifact.task,
            outputs=artifact.outputs,
            artifact_id=artifact.artifact_id,
        )

    @property
    def _entrypoint(self) -> str:
        job = self._job
        return f"entrypoints/{job.entrypoint_id}/snapshots/{job.entrypoint_snapshot_id}"

    def _download_and_unpack(
        self,
        key: str,
        download: Callable[[Path, Callable[[int], object]], None],
        target: Path,
        *,
        what: str,
    ) -> None:
        """Have an archive and unpack it; the archive itself does not stay here."""

        def get(file: Path) -> None:
            download(file, lambda _: self._context.check_cancelled())

        with (
            self._space.download() as archive,
            self._cache.cached_download(key, archive, get),
        ):
            unpack(
                archive,
                target,
                what=what,
                check_cancelled=self._context.check_cancelled,
            )


def _artifact_tasks(plugins: list[dict[str, Any]]) -> list[ArtifactTask]:
    return [
        ArtifactTask(
            name=of_kind(task["name"], str),
            package=package_name(plugin["name"]),
            module=module_name(file["filename"]),
            plugin_snapshot_id=resource_id(plugin["snapshotId"]),
            task_id=resource_id(task["id"]),
        )
        for plugin in plugins
        for file in plugin["files"]
        for task in file["tasks"].get("artifacts", [])
    ]
