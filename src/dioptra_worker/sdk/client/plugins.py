"""The plugins, their files and the archives of their code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.sdk.client.collections import GROUPED, SORTED
from dioptra_worker.sdk.client.endpoints import endpoint, given
from dioptra_worker.sdk.client.files import FileTypes
from dioptra_worker.sdk.client.nested import Snapshots, save_archive
from dioptra_worker.sdk.client.resources import Resource

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.sdk.client.transport import Transport


class PluginFiles(Resource):
    """The Python files of a plugin."""

    path = "/plugins/{plugin_id}/files"
    draft_fields = frozenset({"filename", "contents", "tasks", "description"})
    get = endpoint("GET", query=SORTED)
    get_by_id = endpoint("GET {plugin_file_id}")
    delete_by_id = endpoint("DELETE {plugin_file_id}")
    delete_all = endpoint("DELETE")

    def create(
        self,
        plugin_id: str | int,
        filename: str,
        contents: str,
        function_tasks: list[dict[str, Any]] | None = None,
        artifact_tasks: list[dict[str, Any]] | None = None,
        description: str | None = None,
    ) -> Any:
        """Add a file to a plugin and register its tasks.

        Args:
            plugin_id: The plugin.
            filename: The file's name, such as ``tasks.py``.
            contents: The Python code.
            function_tasks: Its function tasks: name, inputParams, outputParams.
            artifact_tasks: Its artifact tasks: name, outputParams.
            description: A sentence for people.
        """
        return self.transport.send(
            "POST",
            f"/plugins/{plugin_id}/files",
            json=_file(filename, contents, function_tasks, artifact_tasks, description),
        )

    def modify_by_id(
        self,
        plugin_id: str | int,
        plugin_file_id: str | int,
        filename: str,
        contents: str,
        function_tasks: list[dict[str, Any]] | None = None,
        artifact_tasks: list[dict[str, Any]] | None = None,
        description: str | None = None,
    ) -> Any:
        """Replace a file of a plugin and its tasks.

        Args:
            plugin_id: The plugin.
            plugin_file_id: The file.
            filename: The file's name, such as ``tasks.py``.
            contents: The Python code.
            function_tasks: Its function tasks: name, inputParams, outputParams.
            artifact_tasks: Its artifact tasks: name, outputParams.
            description: A sentence for people.
        """
        return self.transport.send(
            "PUT",
            f"/plugins/{plugin_id}/files/{plugin_file_id}",
            json=_file(filename, contents, function_tasks, artifact_tasks, description),
        )


class PluginSnapshots(Snapshots):
    """The past states of plugins, with their code."""

    def get_files_bundle(
        self,
        plugin_id: str | int,
        plugin_snapshot_id: str | int,
        file_type: FileTypes = FileTypes.TAR_GZ,
        output_dir: Path | None = None,
        file_stem: str = "task-plugins",
    ) -> Path:
        """Save the files of a plugin's snapshot as an archive and return its path.

        Args:
            plugin_id: The plugin.
            plugin_snapshot_id: Its snapshot.
            file_type: The kind of archive.
            output_dir: Where to save; by default the current directory.
            file_stem: The name to save under, without its suffix.
        """
        path = f"{self._path(plugin_id)}/{plugin_snapshot_id}/files/bundle"
        return save_archive(self.transport, path, file_type, output_dir, file_stem)


class Plugins(Resource):
    """The plugins: packages of Python files."""

    path = "/plugins"
    snapshots_type = PluginSnapshots
    snapshots: PluginSnapshots
    get = endpoint("GET", query=GROUPED)
    get_by_id = endpoint("GET {plugin_id}")
    create = endpoint("POST", body="group_id:group name description?")
    modify_by_id = endpoint("PUT {plugin_id}", body="name description")
    delete_by_id = endpoint("DELETE {plugin_id}")

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.files = PluginFiles(transport)


def _file(
    filename: str,
    contents: str,
    functions: list[dict[str, Any]] | None,
    artifacts: list[dict[str, Any]] | None,
    description: str | None,
) -> dict[str, Any]:
    return given(
        filename=filename,
        contents=contents,
        tasks=given(functions=functions, artifacts=artifacts),
        description=description,
    )
