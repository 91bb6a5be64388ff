"""What the collections of the API have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dioptra_worker.sdk.client.drafts import ModifiedDrafts, NewDrafts
from dioptra_worker.sdk.client.nested import Snapshots, Tags

if TYPE_CHECKING:
    from dioptra_worker.sdk.client.transport import Transport


class Collection:
    """A collection of the REST API, such as ``/queues``.

    Attributes:
        path: Its path, with a name in braces for each id of a parent.
        transport: What sends its requests.
    """

    path: ClassVar[str]

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def url(self) -> str:
        """The address of the collection."""
        return f"{self.transport.url}{self.path}"


class Resource(Collection):
    """A collection whose members have snapshots, tags and drafts.

    Attributes:
        draft_fields: The fields of a draft of a new member.
        modify_draft_fields: Those of a draft of a change, where they differ.
    """

    draft_fields: ClassVar[frozenset[str]] = frozenset({"name", "description"})
    modify_draft_fields: ClassVar[frozenset[str] | None] = None
    snapshots_type: ClassVar[type[Snapshots]] = Snapshots

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        member = f"{self.path}/{{}}"
        self.snapshots = self.snapshots_type(transport, f"{member}/snapshots")
        self.tags = Tags(transport, f"{member}/tags")
        self.new_resource_drafts = NewDrafts(
            transport, f"{self.path}/drafts", self.draft_fields
        )
        self.modify_resource_drafts = ModifiedDrafts(
            transport, f"{member}/draft", self.modify_draft_fields or self.draft_fields
        )
