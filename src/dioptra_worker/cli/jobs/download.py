"""``dioptra-worker jobs download``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    job_id,
    print_json,
)
from dioptra_worker.cli.jobs.status_line import StatusLine
from dioptra_worker.common.text.humanize import size
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from dioptra_worker.api.models import Artifact
    from dioptra_worker.tools.jobs.artifacts.download import Saved


@click.command(
    "download",
    epilog=epilog(
        "dioptra-worker jobs download 17",
        "dioptra-worker jobs download 17 --artifact model --to results",
        "dioptra-worker jobs download 17 --json | jq -r '.[].path'",
    ),
)
@job_id
@click.option(
    "--artifact",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this one, by its name in the task graph, its file's name or its id; may"
    " be given several times.  [default: all of them]",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="FOLDER",
    help="Where to save them; made if it is not there.  [default: the current folder]",
)
@click.option("--force", is_flag=True, help="Replace what is there already.")
@as_json
@command
def download_command(
    context: CommandContext,
    *,
    job_id: int,
    names: tuple[str, ...],
    folder: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Save a job's artifacts on this machine.

    A file keeps its name, except for letters that could do harm in one; a folder is
    unpacked. Each appears when it is whole, and nothing is overwritten without
    --force. They come from the REST API, so no access to the artifact store is needed.
    """
    from dioptra_worker.tools.jobs.artifacts.download import Saver
    from dioptra_worker.tools.jobs.artifacts.selection import chosen

    line = StatusLine()

    def tell(artifact: Artifact, count: int) -> None:
        whole = f" of {size(artifact.size)}" if artifact.size else ""
        line.show(f"{one_line(artifact.file_name)[:40]}: {size(count)}{whole}")

    artifacts = chosen(context.client.artifacts(job_id), names, job_id=job_id)
    saver = Saver(api=context.api, folder=folder, force=force, on_progress=tell)
    all_saved = []
    try:
        for saved in saver.save(artifacts):
            line.clear()
            all_saved.append(saved)
            if not as_json:
                click.echo(f"{saved.path}  {size(saved.size)}")
    finally:
        line.clear()
    if as_json:
        print_json([_dump(saved) for saved in all_saved])


def _dump(saved: Saved) -> dict[str, object]:
    artifact = saved.artifact
    return {
        "id": artifact.id,
        "path": str(saved.path),
        "is_dir": artifact.is_dir,
        "bytes": saved.size,
        "uri": artifact.uri,
    }
