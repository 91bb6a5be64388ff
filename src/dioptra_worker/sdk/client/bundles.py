"""Collections whose calls also download files: plugins, entrypoints, artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.sdk.client.collections import GROUPED, SORTED
from dioptra_worker.sdk.client.endpoints import endpoint, given
from dioptra_worker.sdk.client.files import FileTypes
from dioptra_worker.sdk.client.nested import Snapshots
from dioptra_worker.sdk.client.resources import Collection, Resource

if TYPE_CHECKING:
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
        """Replace a file of a plugin and its tasks; arguments as for `create`."""
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
        """Save the files of a plugin's snapshot as an archive and return its path."""
        path = f"{self._path(plugin_id)}/{plugin_snapshot_id}/files/bundle"
        return _archive(self.transport, path, file_type, output_dir, file_stem)


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


class EntrypointPlugins(Collection):
    """The task plugins of an entrypoint."""

    path = "/entrypoints/{entrypoint_id}/plugins"
    get = endpoint("GET")
    get_by_id = endpoint("GET {plugin_id}")
    create = endpoint("POST", body="plugin_ids:plugins")
    delete_by_id = endpoint("DELETE {plugin_id}")


class EntrypointArtifactPlugins(Collection):
    """The artifact plugins of an entrypoint."""

    path = "/entrypoints/{entrypoint_id}/artifactPlugins"
    get = endpoint("GET")
    get_by_id = endpoint("GET {artifact_plugin_id}")
    create = endpoint("POST", body="artifact_plugin_ids:artifactPlugins")
    delete_by_id = endpoint("DELETE {artifact_plugin_id}")


class EntrypointQueues(Collection):
    """The queues on which an entrypoint may run."""

    path = "/entrypoints/{entrypoint_id}/queues"
    get = endpoint("GET")
    create = endpoint("POST", body="queue_ids:ids")
    delete = endpoint("DELETE")
    modify_by_id = endpoint("PUT", body="queue_ids:ids")
    delete_by_id = endpoint("DELETE {queue_id}")


class EntrypointSnapshots(Snapshots):
    """The past states of entrypoints, with what a worker needs of them."""

    def get_config(
        self,
        entrypoint_id: str | int,
        entrypoint_snapshot_id: str | int,
        swap_parameters: dict[str, str] | None = None,
        sections: list[str] | None = None,
        partial: bool = False,
    ) -> Any:
        """Get the rendered task graph of an entrypoint's snapshot.

        Args:
            entrypoint_id: The entrypoint.
            entrypoint_snapshot_id: Its snapshot.
            swap_parameters: The chosen task alias by the name of the swap.
            sections: The sections of the graph that are wanted; by default all.
            partial: Whether swaps without a choice may stay.
        """
        query = _swaps(swap_parameters or {}) | {"partial": str(partial)}
        if sections:
            query["sections"] = ",".join(sections)
        return self._about(entrypoint_id, entrypoint_snapshot_id, "config", query)

    def get_plugins_bundle(
        self,
        entrypoint_id: str | int,
        entrypoint_snapshot_id: str | int,
        file_type: FileTypes = FileTypes.TAR_GZ,
        output_dir: Path | None = None,
        file_stem: str = "plugins",
    ) -> Path:
        """Save the code of the task plugins as an archive and return its path."""
        path = f"{self._path(entrypoint_id)}/{entrypoint_snapshot_id}/plugins/bundle"
        return _archive(self.transport, path, file_type, output_dir, file_stem)

    def get_artifact_plugins(
        self, entrypoint_id: str | int, entrypoint_snapshot_id: str | int
    ) -> Any:
        """List the artifact plugins of an entrypoint's snapshot."""
        return self._about(entrypoint_id, entrypoint_snapshot_id, "artifactPlugins")

    def get_artifact_plugins_bundle(
        self,
        entrypoint_id: str | int,
        entrypoint_snapshot_id: str | int,
        file_type: FileTypes = FileTypes.TAR_GZ,
        output_dir: Path | None = None,
        file_stem: str = "artifact-plugins",
    ) -> Path:
        """Save the code of the artifact plugins as an archive and return its path."""
        path = (
            f"{self._path(entrypoint_id)}/{entrypoint_snapshot_id}"
            "/artifactPlugins/bundle"
        )
        return _archive(self.transport, path, file_type, output_dir, file_stem)

    def get_task_graph_global_params(
        self, entrypoint_id: int, entrypoint_snapshot_id: int, swaps: dict[str, str]
    ) -> Any:
        """List the global parameters that the graph has with these swaps."""
        return self._about(
            entrypoint_id,
            entrypoint_snapshot_id,
            "dynamicGlobalParameters",
            _swaps(swaps),
        )

    def get_swaps(self, entrypoint_id: int, entrypoint_snapshot_id: int) -> Any:
        """List the swaps of an entrypoint's snapshot and their choices."""
        return self._about(entrypoint_id, entrypoint_snapshot_id, "swaps")

    def _about(
        self,
        entrypoint_id: str | int,
        snapshot_id: str | int,
        what: str,
        query: dict[str, str] | None = None,
    ) -> Any:
        path = f"{self._path(entrypoint_id)}/{snapshot_id}/{what}"
        return self.transport.send("GET", path, params=query)


class Entrypoints(Resource):
    """The entrypoints: task graphs with their plugins."""

    path = "/entrypoints"
    modify_draft_fields = frozenset(
        {
            "name",
            "description",
            "taskGraph",
            "artifactGraph",
            "parameters",
            "artifactParameters",
            "queues",
        }
    )
    draft_fields = modify_draft_fields | {"plugins", "artifactPlugins"}
    snapshots_type = EntrypointSnapshots
    snapshots: EntrypointSnapshots
    get = endpoint("GET", query=f"{GROUPED} show_deleted?")
    get_by_id = endpoint("GET {entrypoint_id}")
    create = endpoint(
        "POST",
        body="group_id:group name task_graph artifact_graph? description? parameters? "
        "artifact_parameters? queues? plugins? artifact_plugins?",
        query="validate_only=False",
    )
    modify_by_id = endpoint(
        "PUT {entrypoint_id}",
        body="name task_graph artifact_graph description parameters "
        "artifact_parameters queues plugin_snapshot_ids artifact_plugin_snapshot_ids",
        query="validate_only=False",
    )
    delete_by_id = endpoint("DELETE {entrypoint_id}")

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.plugins = EntrypointPlugins(transport)
        self.artifact_plugins = EntrypointArtifactPlugins(transport)
        self.queues = EntrypointQueues(transport)

    def lint(self, content: dict[str, Any]) -> Any:
        """Check a task graph that is not saved."""
        return self.transport.send("POST", f"{self.path}:lint", json=content)

    def lint_by_id(self, entrypoint_id: str | int, content: dict[str, Any]) -> Any:
        """Check a changed task graph of an entrypoint."""
        path = f"{self.path}/{entrypoint_id}:lint"
        return self.transport.send("POST", path, json=content)


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
        """Save the contents of an artifact's snapshot; see `Artifacts.get_contents`."""
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


def _swaps(chosen: dict[str, str]) -> dict[str, str]:
    return {f"swaps[{name}]": alias for name, alias in chosen.items()}


def _archive(
    transport: Transport,
    path: str,
    file_type: FileTypes,
    output_dir: Path | None,
    stem: str,
) -> Path:
    target = Path(output_dir or "", stem).with_suffix(file_type.suffix)
    return transport.download(path, target, {"fileType": file_type.value})


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
