"""Whether the capsules in a capsule are of the jobs that its job came from; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dioptra_worker.provenance.manifest import are_same
from dioptra_worker.tools.capsule import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.provenance.manifest import InputFacts, Manifest


def broken_links(job: Manifest, ancestors: Mapping[str, Manifest]) -> Iterator[str]:
    """One sentence for each link between two jobs that does not hold.

    Args:
        job: The manifest of the job that came from the others.
        ancestors: Theirs, by the paths of their capsules.
    """
    readers = [job, *ancestors.values()]
    for path, maker in ancestors.items():
        if layout.ancestor_path(maker.job.id) != path:
            yield f"{path}: it is of job {maker.job.id}"
        reads = [
            (reader, one)
            for reader in readers
            for one in reader.inputs
            if _was_made_by(maker, one)
        ]
        if not reads:
            yield f"{path}: no job here has read what it made"
        for reader, one in reads:
            for output in maker.outputs:
                same = output.uri != one.uri or are_same(output.files, one.files)
                if same is False:
                    yield (
                        f"{path}: job {reader.job.id} has read {one.name!r} otherwise"
                        f" than job {maker.job.id} wrote it"
                    )


def _was_made_by(maker: Manifest, one: InputFacts) -> bool:
    root = maker.mlflow.uri.rstrip("/")
    return bool(root) and one.uri.startswith(f"{root}/")
