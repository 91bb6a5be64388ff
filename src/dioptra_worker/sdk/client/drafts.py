"""Drafts: resources and changes that are not published yet."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from dioptra_worker.sdk.client.endpoints import given, to_wire
from dioptra_worker.sdk.client.errors import (
    DraftFieldsValidationError,
    FieldNameCollisionError,
    FieldsValidationError,
)
from dioptra_worker.sdk.client.nested import Nested

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.sdk.client.transport import Transport


class _Drafts(Nested):
    def __init__(self, transport: Transport, path: str, fields: frozenset[str]) -> None:
        super().__init__(transport, path)
        self._fields = fields

    def _checked(self, given_fields: Mapping[str, Any]) -> dict[str, Any]:
        wire: dict[str, Any] = {}
        for name, value in given_fields.items():
            key = to_wire(name)
            if key in wire:
                raise FieldNameCollisionError(
                    f"the draft's field {key!r} was given twice, once as {name!r}"
                )
            wire[key] = value
        unknown, missing = wire.keys() - self._fields, self._fields - wire.keys()
        if unknown or missing:
            raise DraftFieldsValidationError(
                f"a draft for {self.path} needs exactly the fields "
                f"{sorted(self._fields)}; missing: {sorted(missing)}, "
                f"unknown: {sorted(unknown)}"
            )
        return wire


class NewDrafts(_Drafts):
    """Drafts of new resources."""

    def get(
        self,
        *resource_ids: str | int,
        draft_type: str | None = None,
        group_id: int | None = None,
        index: int = 0,
        page_length: int = 10,
    ) -> Any:
        """List drafts.

        Args:
            *resource_ids: The ids of the parents, outermost first.
            draft_type: ``all``, ``existing`` or ``new``.
            group_id: Only those of this group.
            index: How many to skip.
            page_length: How many to return at most.
        """
        query = given(
            index=index,
            page_length=page_length,
            group_id=group_id,
            draft_type=draft_type,
        )
        return self.transport.send("GET", self._path(*resource_ids), params=query)

    def get_by_id(self, *resource_ids: str | int, draft_id: int) -> Any:
        """Get one draft.

        Args:
            *resource_ids: The ids of the parents, outermost first.
            draft_id: The draft.
        """
        return self.transport.send("GET", f"{self._path(*resource_ids)}/{draft_id}")

    def create(
        self, *resource_ids: str | int, group_id: int | None = None, **kwargs: Any
    ) -> Any:
        """Make a draft of a new resource.

        Args:
            *resource_ids: The ids of the parents.
            group_id: The group that will own the resource; not for one with a parent.
            **kwargs: The fields of the draft, all of them.

        Raises:
            FieldsValidationError: The group or a field is missing or unknown.
            FieldNameCollisionError: A field was given in two spellings.
        """
        if "group" in kwargs:
            raise FieldsValidationError("write 'group_id' instead of 'group'")
        if resource_ids and group_id is not None:
            warnings.warn(
                "'group_id' is ignored: the parent's group owns the resource",
                stacklevel=2,
            )
            group_id = None
        elif not resource_ids and group_id is None:
            raise FieldsValidationError(f"a draft for {self.path} needs a 'group_id'")
        body = given(group=group_id) | self._checked(kwargs)
        return self.transport.send("POST", self._path(*resource_ids), json=body)

    def modify(self, *resource_ids: str | int, draft_id: int, **kwargs: Any) -> Any:
        """Replace the fields of a draft; all of them must be given.

        Args:
            *resource_ids: The ids of the parents, outermost first.
            draft_id: The draft.
            **kwargs: The fields of the draft, all of them.

        Raises:
            FieldsValidationError: A field is missing or unknown.
            FieldNameCollisionError: A field was given in two spellings.
        """
        path = f"{self._path(*resource_ids)}/{draft_id}"
        return self.transport.send("PUT", path, json=self._checked(kwargs))

    def delete(self, *resource_ids: str | int, draft_id: int) -> Any:
        """Delete a draft.

        Args:
            *resource_ids: The ids of the parents, outermost first.
            draft_id: The draft.
        """
        return self.transport.send("DELETE", f"{self._path(*resource_ids)}/{draft_id}")


class ModifiedDrafts(_Drafts):
    """Drafts of changes to resources that exist."""

    def get_by_id(self, *resource_ids: str | int) -> Any:
        """Get the draft of a change to a resource.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
        """
        return self.transport.send("GET", self._path(*resource_ids))

    def create(self, *resource_ids: str | int, **kwargs: Any) -> Any:
        """Make a draft of a change; all fields must be given.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
            **kwargs: The fields of the draft, all of them.

        Raises:
            FieldsValidationError: A field is missing or unknown.
            FieldNameCollisionError: A field was given in two spellings.
        """
        body = self._checked(kwargs)
        return self.transport.send("POST", self._path(*resource_ids), json=body)

    def modify(
        self, *resource_ids: str | int, resource_snapshot_id: str | int, **kwargs: Any
    ) -> Any:
        """Replace the fields of a draft of a change; all of them must be given.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
            resource_snapshot_id: The state of the resource that is to be changed.
            **kwargs: The fields of the draft, all of them.

        Raises:
            FieldsValidationError: A field is missing or unknown.
            FieldNameCollisionError: A field was given in two spellings.
        """
        body = {
            "resourceSnapshot": int(resource_snapshot_id),
            "resourceData": self._checked(kwargs),
        }
        return self.transport.send("PUT", self._path(*resource_ids), json=body)

    def delete(self, *resource_ids: str | int) -> Any:
        """Delete the draft of a change to a resource.

        Args:
            *resource_ids: The ids of the resource and its parents, outermost first.
        """
        return self.transport.send("DELETE", self._path(*resource_ids))
