"""Artifacts that a run reads: a path, and the artifact task that reads it.

On the platform an artifact remembers what wrote it. So does one that a run without a
server has kept, in a tag of its run; for any other file the types tell, or the user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dioptra_worker.engine.wording import listing, suggestion
from dioptra_worker.tools.workbench.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.protocol.messages import ArtifactTask
    from dioptra_worker.tools.workbench.planning.entrypoint import Entrypoint

TAG = "dioptra.artifactTask."
"""Begins the tag of a run that says which artifact task wrote an artifact."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """An artifact on disk, for one artifact input.

    Attributes:
        name: The artifact input's name.
        path: The file or folder.
        task: What reads it.
        bundle: The folder with the plugin of that; None for the entrypoint's own.
    """

    name: str
    path: Path
    task: ArtifactTask
    bundle: Path | None = None


def reader(entrypoint: Entrypoint, name: str, path: Path) -> Given:
    """Find out how an artifact is read.

    Args:
        entrypoint: What it is given to.
        name: Its name there, behind a colon the artifact task if need be.
        path: The file or folder.

    Raises:
        InvalidRequest: There is no such file, or nothing says what reads it.
    """
    name, _, wanted = name.partition(":")
    if not path.exists():
        raise InvalidRequest(f"artifact {name!r}: {str(path)!r} does not exist")
    path = path.absolute()
    tasks = {reader.task.name: reader.task for reader in entrypoint.readers}
    if wanted:
        if wanted not in tasks:
            raise InvalidRequest(
                f"artifact {name!r}: there is no artifact task {wanted!r}."
                + suggestion(wanted, tasks, "The entrypoint has none.")
            )
        return Given(name=name, path=path, task=tasks[wanted])
    wrote = _written_by(path)
    candidates = [wrote] if wrote in tasks else _readers_for(entrypoint, name)
    if len(candidates) != 1:
        raise InvalidRequest(_unclear(name, path, candidates or list(tasks)))
    return Given(name=name, path=path, task=tasks[candidates[0]])


def _written_by(path: Path) -> str:
    """The artifact task that wrote it, where a run in a folder has noted that."""
    if len(path.parents) < 3 or path.parents[1].name != "artifacts":
        return ""
    tag = path.parents[2] / "tags" / f"{TAG}{path.parent.name}"
    return tag.read_text("utf-8").strip() if tag.is_file() else ""


def _readers_for(entrypoint: Entrypoint, name: str) -> list[str]:
    """The artifact tasks that read values of the types which an input declares."""
    outputs = entrypoint.config["artifact_inputs"][name]
    listed = outputs if isinstance(outputs, list) else [outputs]
    wanted = tuple(kind for output in listed for kind in output.values())
    return [
        reader.task.name
        for reader in entrypoint.readers
        if reader.types is None or reader.types == wanted
    ]


def _unclear(name: str, path: Path, candidates: list[str]) -> str:
    if not candidates:
        return (
            f"artifact {name!r}: the entrypoint has no artifact plugin that could read"
            f" {str(path)!r}"
        )
    return (
        f"artifact {name!r}: {str(path)!r} can be read by"
        f" {listing(candidates, 'or')}: say which, as in"
        f" --artifact {name}:{candidates[0]}={path}"
    )
