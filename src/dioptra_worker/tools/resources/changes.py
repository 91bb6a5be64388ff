"""What an import finds in the platform under the names that it brings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.api.user_client import UserClient
    from dioptra_worker.tools.resources.folders import ResourceFolder


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Which resources were there before an import, by their names.

    Attributes:
        entrypoints: Entrypoints, which have a new version now.
        plugins: Plugins, the same.
        types: Types that mean what they meant before.
        redefined: Types that mean something else now: what was, and what is.
    """

    entrypoints: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    redefined: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    def sentences(self) -> Iterator[str]:
        """Say it, a sentence for each type that means something else now."""
        for name, (before, after) in self.redefined.items():
            yield (
                f"type {name!r} was {_shown(before)} and is {_shown(after)} now, also"
                " for every other plugin that uses it"
            )


def look(client: UserClient, folder: ResourceFolder, *, group: int) -> Changes:
    """See what there is before an import.

    Args:
        client: The API.
        folder: What will be imported.
        group: The group that is to own it: others have names of their own.

    Raises:
        ServiceError: The API cannot be asked.
    """
    types = folder.structures
    known = client.described("pluginParameterTypes", types, group=group)
    both = {
        name: (one.get("structure") or None, types[name] or None)
        for name, one in known.items()
    }
    redefined = {name: both[name] for name in both if both[name][0] != both[name][1]}
    entrypoints = [entry["name"] for entry in folder.entries]
    plugins = [folder.plugin_name(one) for one in folder.config.get("plugins", ())]
    return Changes(
        entrypoints=tuple(client.described("entrypoints", entrypoints, group=group)),
        plugins=tuple(client.described("plugins", plugins, group=group)),
        types=tuple(name for name in known if name not in redefined),
        redefined=redefined,
    )


def _shown(structure: Any) -> str:
    return "a name only" if structure is None else json.dumps(structure)
