"""Importing folders into a Dioptra."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dioptra_worker.errors import LoginRefused, ServiceRefused
from dioptra_worker.tools.resources.archive import pack
from dioptra_worker.tools.resources.changes import Changes, look
from dioptra_worker.tools.resources.errors import ResourceError
from dioptra_worker.tools.resources.plugin_files import left_out_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.resources.folders import ResourceFolder

Strategy = Literal["update", "overwrite", "fail"]
"""What to do where a name is taken: change what is there and keep its id, put a new
one in its place, or import nothing."""

PUBLIC_GROUP = 1


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What the API has registered of one folder, ids by name.

    Attributes:
        folder: The folder.
        entrypoints: Its entrypoints.
        plugins: Its plugins.
        types: Its types of plugin parameters.
        left_out: The files of its plugins that the platform does not keep.
        before: Which of them there were before.
    """

    folder: Path
    entrypoints: Mapping[str, int]
    plugins: Mapping[str, int]
    types: Mapping[str, int]
    left_out: tuple[str, ...] = ()
    before: Changes = field(default_factory=Changes)


def import_folder(
    client: UserClient,
    folder: ResourceFolder,
    *,
    group: int = PUBLIC_GROUP,
    strategy: Strategy = "update",
) -> Imported:
    """Import one folder, all of it or nothing.

    Args:
        client: The API.
        folder: The folder.
        group: The group that is to own what is imported.
        strategy: What to do where a name is taken.

    Raises:
        ResourceError: The folder cannot be packed, or the API refuses it.
        ServiceError: The API cannot be asked.
    """
    archive = pack(folder)
    before = look(client, folder, group=group)
    try:
        found = client.import_archive(archive, group=group, strategy=strategy)
    except LoginRefused:
        raise
    except ServiceRefused as error:
        raise ResourceError(
            f"the Dioptra API refused to import {folder.path}: {_words(error.detail)}"
        ) from error
    return Imported(
        folder=folder.path,
        entrypoints=found.get("entrypoints", {}),
        plugins=found.get("plugins", {}),
        types=found.get("plugin_param_types", {}),
        left_out=tuple(left_out_of([folder.path / name for name in folder.plugins])),
        before=before,
    )


def _words(detail: Any) -> str:
    """Say what the API said: its sentence, and the reason that it keeps apart."""
    if not isinstance(detail, dict):
        return str(detail)
    sentence = str(detail.get("message") or "it does not say why")
    # A 404 of the API's framework goes on to guess at other addresses.
    sentence = sentence.partition(" You have requested this URI")[0]
    inner = detail.get("detail")
    if not inner or (isinstance(inner, dict) and "entity_type" in inner):
        return sentence  # which has said it all
    reason = inner.get("reason", inner) if isinstance(inner, dict) else inner
    return f"{sentence}\n{reason}"
