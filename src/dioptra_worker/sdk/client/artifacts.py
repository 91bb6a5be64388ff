"""The artifacts that jobs have made, and their contents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.sdk.client.collections import GROUPED
from dioptra_worker.sdk.client.endpoints import endpoint, given
from dioptra_worker.sdk.client.nested import Snapshots
from dioptra_worker.sdk.client.resources import Collection

if TYPE_CHECKING:
    from dioptra_worker.sdk.client.files import FileTypes
    from dioptra_worker.sdk.client.transport import Transport


class ArtifactSnapshots(Snapshots):
    """The past states of artifacts, with their contents."""

    def get_contents(
        self,
        artifact_id: str | int,
        artifact_snapshot_id: str | int,
        file_type: FileTypes | None = None,
        artifact_path: str | None = None,
        output_dir: Path | None = None,
        file_stem: str = "contents",
    ) -> Path:
        """Save the contents of an artifact's snapshot and return the path.

        Args:
            artifact_id: The artifact.
            artifact_snapshot_id: Its snapshot.
            file_type: The kind of archive, for an artifact that is a directory.
            artifact_path: One file of a directory.
            output_dir: Where to save; by default the current directory.
            file_stem: The name to save under.
        """
        path = f"{self._path(artifact_id)}/{artifact_snapshot_id}/contents"
        return _contents(
            self.transport, path, file_type, artifact_path, output_dir, file_stem
        )


class Artifacts(Collection):
    """The artifacts that jobs have made."""

    path = "/artifacts"
    get = endpoint("GET", query=GROUPED)
    get_by_id = endpoint("GET {artifact_id}")
    get_files = endpoint("GET {artifact_id}/files")
    create = endpoint(
        "POST",
        body="group_id:group job_id:job artifact_uri plugin_snapshot_id? task_id? "
        "description?",
    )
    modify_by_id = endpoint(
        "PUT {artifact_id}", body="plugin_snapshot_id? task_id? description?"
    )

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.snapshots = ArtifactSnapshots(transport, f"{self.path}/{{}}/snapshots")

    def get_contents(
        self,
        artifact_id: str | int,
        file_type: FileTypes | None = None,
        artifact_path: str | None = None,
        output_dir: Path | None = None,
        file_stem: str = "contents",
    ) -> Path:
        """Save the contents of an artifact and return the path.

        Args:
            artifact_id: The artifact.
            file_type: The kind of archive, for an artifact that is a directory.
            artifact_path: One file of a directory.
            output_dir: Where to save; by default the current directory.
            file_stem: The name to save under.
        """
        path = f"{self.path}/{artifact_id}/contents"
        return _contents(
            self.transport, path, file_type, artifact_path, output_dir, file_stem
        )


def _contents(
    transport: Transport,
    path: str,
    file_type: FileTypes | None,
    artifact_path: str | None,
    output_dir: Path | None,
    stem: str,
) -> Path:
    target = Path(output_dir or "", stem)
    if file_type is not None:
        target = target.with_suffix(file_type.suffix)
    query = given(file_type=file_type and file_type.value, path=artifact_path)
    return transport.download(path, target, query)
