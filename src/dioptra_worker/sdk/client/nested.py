"""Collections that many resources have: snapshots and tags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dioptra_worker.sdk.client.endpoints import fill, given
from dioptra_worker.sdk.client.errors import SubCollectionUrlError

if TYPE_CHECKING:
    from dioptra_worker.sdk.client.files import FileTypes
    from dioptra_worker.sdk.client.transport import Transport


class Nested:
    """A collection that many resources have, such as ``/queues/1/tags``.

    Its methods take the ids of the parents as positional arguments, and raise
    `SubCollectionUrlError` when these are too few or too many.

    Args:
        transport: What sends its requests.
        path: Its path, with braces for each id of a parent.
    """

    def __init__(self, transport: Transport, path: str) -> None:
        self.transport = transport
        self.path = path

    def _path(self, *ids: str | int) -> str:
        expected = self.path.count("{")
        if len(ids) != expected:
            raise SubCollectionUrlError(
                f"{self.path} takes {expected} id(s), but {len(ids)} came: {ids!r}"
            )
        return fill(self.path, ids)


class Snapshots(Nested):
    """The past states of a resource."""

    def get(
        self,
        *resource_ids: str | int,
        index: int = 0,
        page_length: int = 10,
        search: str | None = None,
    ) -> Any:
        """List the snapshots of a resource.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
            index: How many to skip.
            page_length: How many to return at most.
            search: What to look for, in the API's syntax.
        """
        query = given(index=index, page_length=page_length, search=search)
        return self.transport.send("GET", self._path(*resource_ids), params=query)

    def get_by_id(self, *resource_ids: str | int, snapshot_id: int) -> Any:
        """Get one snapshot of a resource.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
            snapshot_id: The snapshot.
        """
        return self.transport.send("GET", f"{self._path(*resource_ids)}/{snapshot_id}")


class Tags(Nested):
    """The tags of a resource."""

    def get(self, *resource_ids: str | int) -> Any:
        """List the tags of a resource.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
        """
        return self.transport.send("GET", self._path(*resource_ids))

    def modify(self, *resource_ids: str | int, ids: list[int]) -> Any:
        """Replace the tags of a resource.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
            ids: The ids of the tags.
        """
        return self.transport.send("PUT", self._path(*resource_ids), json={"ids": ids})

    def append(self, *resource_ids: str | int, ids: list[int]) -> Any:
        """Add tags to a resource.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
            ids: The ids of the tags.
        """
        return self.transport.send("POST", self._path(*resource_ids), json={"ids": ids})

    def remove(self, *resource_ids: str | int, tag_id: int) -> Any:
        """Take one tag from a resource.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
            tag_id: The tag.
        """
        return self.transport.send("DELETE", f"{self._path(*resource_ids)}/{tag_id}")

    def remove_all(self, *resource_ids: str | int) -> Any:
        """Take all tags from a resource.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
        """
        return self.transport.send("DELETE", self._path(*resource_ids))


def save_archive(
    transport: Transport,
    path: str,
    file_type: FileTypes,
    output_dir: Path | None,
    stem: str,
) -> Path:
    """Save an archive of files under a name, and return its path."""
    target = Path(output_dir or "", stem).with_suffix(file_type.suffix)
    return transport.download(path, target, {"fileType": file_type.value})
