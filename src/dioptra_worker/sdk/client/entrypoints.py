"""The entrypoints, their plugins and queues, and what a worker needs of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dioptra_worker.sdk.client.collections import GROUPED
from dioptra_worker.sdk.client.endpoints import endpoint
from dioptra_worker.sdk.client.files import FileTypes
from dioptra_worker.sdk.client.nested import Snapshots, save_archive
from dioptra_worker.sdk.client.resources import Collection, Resource

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.sdk.client.transport import Transport


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
        """Save the code of the task plugins as an archive and return its path.

        Args:
            entrypoint_id: The entrypoint.
            entrypoint_snapshot_id: Its snapshot.
            file_type: The kind of archive.
            output_dir: Where to save; by default the current directory.
            file_stem: The name to save under, without its suffix.
        """
        path = f"{self._path(entrypoint_id)}/{entrypoint_snapshot_id}/plugins/bundle"
        return save_archive(self.transport, path, file_type, output_dir, file_stem)

    def get_artifact_plugins(
        self, entrypoint_id: str | int, entrypoint_snapshot_id: str | int
    ) -> Any:
        """List the artifact plugins of an entrypoint's snapshot.

        Args:
            entrypoint_id: The entrypoint.
            entrypoint_snapshot_id: Its snapshot.
        """
        return self._about(entrypoint_id, entrypoint_snapshot_id, "artifactPlugins")

    def get_artifact_plugins_bundle(
        self,
        entrypoint_id: str | int,
        entrypoint_snapshot_id: str | int,
        file_type: FileTypes = FileTypes.TAR_GZ,
        output_dir: Path | None = None,
        file_stem: str = "artifact-plugins",
    ) -> Path:
        """Save the code of the artifact plugins as an archive and return its path.

        Args:
            entrypoint_id: The entrypoint.
            entrypoint_snapshot_id: Its snapshot.
            file_type: The kind of archive.
            output_dir: Where to save; by default the current directory.
            file_stem: The name to save under, without its suffix.
        """
        path = (
            f"{self._path(entrypoint_id)}/{entrypoint_snapshot_id}"
            "/artifactPlugins/bundle"
        )
        return save_archive(self.transport, path, file_type, output_dir, file_stem)

    def get_task_graph_global_params(
        self, entrypoint_id: int, entrypoint_snapshot_id: int, swaps: dict[str, str]
    ) -> Any:
        """List the global parameters that the graph has with these swaps.

        Args:
            entrypoint_id: The entrypoint.
            entrypoint_snapshot_id: Its snapshot.
            swaps: The chosen task alias by the name of the swap.
        """
        return self._about(
            entrypoint_id,
            entrypoint_snapshot_id,
            "dynamicGlobalParameters",
            _swaps(swaps),
        )

    def get_swaps(self, entrypoint_id: int, entrypoint_snapshot_id: int) -> Any:
        """List the swaps of an entrypoint's snapshot and their choices.

        Args:
            entrypoint_id: The entrypoint.
            entrypoint_snapshot_id: Its snapshot.
        """
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
        """Check a task graph that is not saved.

        Args:
            content: The body of the request: what an entrypoint is made of.
        """
        return self.transport.send("POST", f"{self.path}:lint", json=content)

    def lint_by_id(self, entrypoint_id: str | int, content: dict[str, Any]) -> Any:
        """Check a changed task graph of an entrypoint.

        Args:
            entrypoint_id: The entrypoint.
            content: The body of the request: what an entrypoint is made of.
        """
        path = f"{self.path}/{entrypoint_id}:lint"
        return self.transport.send("POST", path, json=content)


def _swaps(chosen: dict[str, str]) -> dict[str, str]:
    return {f"swaps[{name}]": alias for name, alias in chosen.items()}
