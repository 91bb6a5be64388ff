"""What lies where in a capsule; pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dioptra_worker.provenance.manifest import (
    EVIDENCE_FILE_NAME,
    FILE_NAME,
    LOG_FILE_NAME,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.provenance.manifest import (
        InputFacts,
        Manifest,
        OutputFacts,
        PluginFile,
    )

MANIFEST = FILE_NAME
EVIDENCE = EVIDENCE_FILE_NAME
CRATE = "ro-crate-metadata.json"
GRAPH = "workflow/entrypoint.yml"
"""The task graph, whole, with its swaps chosen."""
LOG = LOG_FILE_NAME
"""The job's log, a record a line: severity, logger, message."""
METRICS = "metrics.jsonl"
"""The points of all metrics, one a line: name, value, step."""
LOCK = "requirements.txt"
"""The packages of the environment, for ``pip`` and ``uv``."""
SUMS = "SHA256SUMS"
"""The SHA-256 of every other file, as ``sha256sum`` has it."""
PLUGINS, INPUTS, OUTPUTS = "plugins", "inputs", "outputs"
OMITTED = "omitted.txt"
"""The paths of files that were left out, a line each."""
LINEAGE = "lineage.json"
"""Which jobs and artifacts the job came from, and whose capsules are missing."""
ANCESTORS = "ancestors"
RECORDS = frozenset(
    {MANIFEST, EVIDENCE, CRATE, GRAPH, LOG, METRICS, LOCK, OMITTED, LINEAGE}
)
"""All that a manifest does not tell file by file, but for `SUMS` and `ANCESTORS`."""


def ancestor_path(job: int) -> str:
    """Where the capsule of a job lies that this one came from."""
    return f"{ANCESTORS}/{job}.crate.zip"


def plugin_folder(role: str, snapshot: int) -> str:
    """Where the plugins of one bundle lie: those that read an input have their own."""
    return f"{PLUGINS}/{role}-{snapshot}" if role == "reader" else f"{PLUGINS}/{role}"


def plugin_path(file: PluginFile) -> str:
    """Where a file of a plugin lies."""
    return f"{plugin_folder(file.role, file.snapshot)}/{file.path}"


def omitted_line(path: str) -> str:
    """A file that was left out, as a line: of an odd name it is the text in JSON."""
    return path if {"\\", "\n"}.isdisjoint(path) else json.dumps(path)


def omitted_paths(text: str) -> frozenset[str]:
    """The files that were left out."""
    return frozenset(
        str(json.loads(line)) if line.startswith('"') else line
        for line in text.removesuffix("\n").split("\n")
    )


def input_paths(one: InputFacts) -> list[str]:
    """Where the files of an input lie, in their order."""
    return _paths(INPUTS, one)


def output_paths(one: OutputFacts) -> list[str]:
    """Where the files of an output lie, in their order."""
    return _paths(OUTPUTS, one)


def _paths(kind: str, one: InputFacts | OutputFacts) -> list[str]:
    place = f"{kind}/{one.name}/{one.file_name}"
    return [f"{place}/{it.path}" for it in one.files] if one.is_dir else [place]


def digests(manifest: Manifest) -> Iterator[tuple[str, str, int]]:
    """Path, SHA-256 and size of each file that a manifest tells of."""
    for plugin in manifest.plugins:
        yield plugin_path(plugin), plugin.sha256, plugin.size
    for one in manifest.inputs:
        for path, file in zip(input_paths(one), one.files, strict=True):
            yield path, file.sha256, file.size
    for output in manifest.outputs:
        for path, file in zip(output_paths(output), output.files, strict=True):
            yield path, file.sha256, file.size
