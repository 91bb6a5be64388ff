"""A run in a folder, as `dioptra-worker run` and replays keep it, to be compared."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dioptra_worker.provenance.manifest import (
    FILE_NAME,
    FOLDER,
    BadManifest,
    read_manifest,
)
from dioptra_worker.tools.capsule import layout
from dioptra_worker.tools.capsule.archive import digest_of
from dioptra_worker.tools.capsule.comparison.comparing import evaluation
from dioptra_worker.tools.capsule.comparison.values import MAX_VALUE_BYTES
from dioptra_worker.tools.capsule.errors import CapsuleError, ChangedCapsule
from dioptra_worker.tools.capsule.making import Point
from dioptra_worker.tracking.folder_run import points_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dioptra_worker.provenance.manifest import Manifest
    from dioptra_worker.tools.capsule.comparison.comparing import Evaluation


def evaluation_of_run(folder: Path) -> Evaluation:
    """What a run says, to be compared.

    Args:
        folder: The run's own, such as ``mlruns/0/RUN``.

    Raises:
        CapsuleError: It has no manifest, or no output artifact of it can be read.
        ChangedCapsule: An output artifact was changed since.
    """
    folder = folder.absolute()
    manifest = _manifest(folder)
    files = {
        path: folder / "artifacts" / path.removeprefix(f"{layout.OUTPUTS}/")
        for one in manifest.outputs
        for path in layout.output_paths(one)
    }
    found = evaluation(
        manifest,
        _points(folder),
        lambda path: _small(files[path]) if path in files else None,
    )
    _refuse_changed(found.outputs, files)
    return found


def _small(file: Path) -> bytes | None:
    """What a file holds; None if that is too much to be compared."""
    return file.read_bytes() if file.stat().st_size <= MAX_VALUE_BYTES else None


def _manifest(folder: Path) -> Manifest:
    file = folder / "artifacts" / FOLDER / FILE_NAME
    try:
        return read_manifest(file.read_bytes())
    except FileNotFoundError:
        raise CapsuleError(
            f"{folder} is no run with a manifest: give a run's own folder, such as"
            " mlruns/0/RUN"
        ) from None
    except (OSError, BadManifest) as error:
        why = getattr(error, "strerror", None) or error
        raise CapsuleError(f"{file} is no manifest that can be read: {why}") from error


def _points(folder: Path) -> list[Point]:
    try:
        return [
            Point(name=name, value=value, step=step)
            for name, given in points_of(folder).items()
            for value, step in given
        ]
    except (OSError, ValueError) as error:
        raise CapsuleError(f"{folder / 'metrics'} cannot be read: {error}") from error


def _refuse_changed(recorded: Mapping[str, str], files: Mapping[str, Path]) -> None:
    findings = []
    for path, sha256 in recorded.items():
        if ".." in PurePosixPath(path).parts:
            raise CapsuleError(f"its manifest names {path!r}, which leads out of it")
        try:
            found = digest_of(files[path])
        except OSError as error:
            findings.append(f"{files[path]}: it cannot be read: {error.strerror}")
            continue
        if sha256 and found != sha256:
            findings.append(f"{files[path]}: it was changed: its SHA-256 is {found}")
    if findings:
        raise ChangedCapsule(findings)
