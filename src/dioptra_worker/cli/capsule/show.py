"""``dioptra-worker capsule show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.capsule.common import capsule_file
from dioptra_worker.cli.evidence.common import sentences
from dioptra_worker.common.text.humanize import size
from dioptra_worker.common.text.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dioptra_worker.tools.capsule.opening import Capsule

_EPILOG = """\b
Examples:
  dioptra-worker capsule show 42.crate.zip
  dioptra-worker capsule show 42.crate.zip --json | jq .manifest.plan

\b
Exit codes:
  0  it was shown, which does not mean that nothing of it was changed
  1  it is no capsule
"""


@click.command("show", epilog=_EPILOG)
@capsule_file
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(file: Path, *, as_json: bool) -> None:
    """Show what the capsule FILE holds, without verifying it."""
    from dioptra_worker.tools.capsule.opening import Capsule

    with sentences(), Capsule(file) as capsule:
        if as_json:
            names = capsule.archive.names
            document = {
                "sha256": capsule.digest,
                "manifest": json.loads(capsule.manifest_bytes),
                "signed": capsule.evidence is not None,
                "files": {name: capsule.archive.size(name) for name in names},
                "omitted": sorted(capsule.omitted),
                "ancestors": dict(_ancestors(capsule)),
                "missing_ancestors": capsule.missing_ancestors,
            }
            click.echo(json.dumps(document, indent=2))
        else:
            _tell(capsule)


def _ancestors(capsule: Capsule) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is told of each of the capsules in it, by its path."""
    for path in capsule.ancestors:
        with capsule.ancestor(path) as ancestor:
            job = ancestor.manifest.job
            told = {
                "job": job.id,
                "entrypoint": job.entrypoint.name,
                "status": job.status,
                "manifest": ancestor.digest,
            }
        yield path, told


def _tell(capsule: Capsule) -> None:
    manifest = capsule.manifest
    job, entrypoint = manifest.job, manifest.job.entrypoint
    rows = [
        ("job", f"{job.id}, attempt {job.attempt}: {job.status}"),
        ("cause", job.cause),
        ("entrypoint", f"{entrypoint.name} (snapshot {entrypoint.snapshot})"),
        ("user", job.user),
        ("ran", f"{job.started} to {job.ended}"),
        ("worker", f"{manifest.worker.name}, version {manifest.worker.version}"),
        ("Python", f"{manifest.environment.python} on {manifest.environment.os}"),
        ("packages", str(len(manifest.environment.packages))),
        ("manifest", capsule.digest),
        ("signed", "yes, see 'capsule verify'" if capsule.evidence else "no"),
    ]
    rows += [
        (f"parameter {one.name}", json.dumps(one.value, default=str))
        for one in manifest.plan.parameters
    ]
    points = {point.name: point.value for point in capsule.metrics}
    rows += [(f"metric {name}", f"{value!r}") for name, value in points.items()]
    for path, told in _ancestors(capsule):
        words = f"job {told['job']} of {told['entrypoint']}: {told['status']}"
        rows.append(("came from", f"{words}, in {path}"))
    for number, why in capsule.missing_ancestors.items():
        rows.append(("came from", f"job {number}, which is not in it: {why}"))
    for name, value in rows:
        if value:
            click.echo(f"{one_line(name):<14} {one_line(value)}")
    for name in capsule.archive.names:
        click.echo(f"  {size(capsule.archive.size(name)):>10}  {one_line(name)}")
    for name in sorted(capsule.omitted):
        click.echo(f"  {'left out':>10}  {one_line(name)}")
