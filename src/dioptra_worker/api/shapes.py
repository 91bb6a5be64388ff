"""What answers look like which tools read on their own, and whether one does.

The worker's own answers are records that read themselves: `api.models`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dioptra_worker.api.errors import of_kind
from dioptra_worker.api.models import moment, resource_id

Shape = Mapping[str, Any] | list[Any] | type | Callable[[Any], object]
"""Of an object, its members' by name; of a list, its entries'; a type; or what raises.

A member whose name ends with a question mark may be missing, or null.
"""


def check(value: Any, shape: Shape) -> None:
    """See that an answer has a shape; it may have more than that.

    Raises:
        TypeError: Something is of another kind.
        ValueError: Something has an impossible value.
        LookupError: Something is missing.
    """
    if isinstance(shape, Mapping):
        found = of_kind(value, dict)
        for name, inner in shape.items():
            key = name.removesuffix("?")
            if key == name or found.get(key) is not None:
                _check_member(key, found[key], inner)
    elif isinstance(shape, list):
        for entry in of_kind(value, list):
            check(entry, shape[0])
    elif isinstance(shape, type):
        of_kind(value, shape)
    else:
        shape(value)


def _check_member(name: str, value: Any, shape: Shape) -> None:
    try:
        check(value, shape)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def values_of(shape: Shape) -> Callable[[Any], object]:
    """The shape of an object whose members have names of somebody's own."""

    def check_all(value: Any) -> None:
        for name, inner in of_kind(value, dict).items():
            _check_member(name[:80], inner, shape)

    return check_all


NAMED = {"id": resource_id, "name": str}
LISTED_JOB: dict[str, Any] = {
    "id": resource_id,
    "status": str,
    "createdOn": moment,
    "lastModifiedOn": moment,
    "snapshotCreatedOn": moment,
    "experiment": NAMED,
    "entrypoint": NAMED,
    "description?": str,
    "user?": {"username?": str},
    "queue?": {"id?": resource_id, "name?": str},
    "tags?": [{"name": str}],
}
JOB: Shape = {
    **LISTED_JOB,
    "entrypoint": {**NAMED, "snapshotId": resource_id},
    "artifacts": [{"id": resource_id}],
    "values": dict,
    "artifactValues?": values_of({"id": resource_id, "snapshotId": resource_id}),
    "swaps?": [{"swapName": str, "taskAlias": str}],
    "timeout": str,
}
ENTRYPOINT: Shape = {
    **NAMED,
    "snapshot": resource_id,
    "group": {"id": resource_id},
    "taskGraph": str,
    "parameters": [{"name": str, "parameterType": str}],
    "artifactParameters?": [{"name": str}],
    "queues?": [{"name": str}],
}
IMPORTED: Shape = {"resources": values_of(values_of(resource_id))}
"""What an import has made, by kind and name."""
VERSION: Shape = {"versionNumber": int, "artifact": {"id": resource_id}}
"""A version of a model."""
