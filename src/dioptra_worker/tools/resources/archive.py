"""Packing a folder for the API's resource import.

The platform has two forms of an entrypoint's file. Its task engine (and our
``validate``) takes a whole one, where output artifacts stand under
``artifact_outputs``. Its import reads only ``graph`` and ``artifacts``, and takes the
rest from ``dioptra.toml``. Here the first becomes the second.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dioptra_worker import engine
from dioptra_worker.engine.issues import Issue, Severity
from dioptra_worker.tools.resources.errors import BadResources
from dioptra_worker.tools.resources.findings import Finding
from dioptra_worker.tools.resources.folders import CONFIG
from dioptra_worker.tools.resources.plugin_files import plugin_files

if TYPE_CHECKING:
    from dioptra_worker.tools.resources.folders import ResourceFolder


def pack(folder: ResourceFolder) -> bytes:
    """Pack a folder.

    Args:
        folder: The folder; nothing in it is changed.

    Returns:
        A ``tar.gz`` with its configuration, task graphs and plugins, and nothing else.

    Raises:
        BadResources: A task graph cannot be read, or a file lies outside
            of the folder.
    """
    files = {path: _import_form(folder.path / path) for path in folder.graphs}
    files[CONFIG] = folder.file.read_bytes()
    for plugin in folder.plugins:
        for name in plugin_files(folder.path / plugin).code:
            file = folder.path / plugin / name
            files[_inside(file, folder)] = file.read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    # Without the time, the same files make the same archive: the API shows its hash.
    return gzip.compress(buffer.getvalue(), mtime=0)


def _inside(file: Path, folder: ResourceFolder) -> str:
    """The name of a file in the archive, which a link has by its own place."""
    place = Path(os.path.normpath(file))
    if not all(path.is_relative_to(folder.path) for path in (place, file.resolve())):
        message = f"This lies outside of {str(folder.path)!r}: move it there."
        raise BadResources([Finding(file, Issue(Severity.ERROR, message))])
    return place.relative_to(folder.path).as_posix()


def _import_form(file: Path) -> bytes:
    """Read a task graph and convert it."""
    try:
        document = engine.load(file)
    except engine.InvalidGraph as error:
        raise BadResources([Finding(file, one) for one in error.issues]) from error
    data: Any = document.data
    if not isinstance(data, dict) or "graph" not in data:
        message = "This has no section 'graph', which says which tasks to call."
        raise BadResources([Finding(file, Issue(Severity.ERROR, message))])
    kept = {"graph": data["graph"]}
    outputs = data.get("artifact_outputs", data.get("artifacts"))
    if outputs:
        kept["artifacts"] = outputs
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
    return text.encode()
