"""``dioptra-worker jobs capsule``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from dioptra_worker.cli.jobs.common import (
    CommandContext,
    as_json,
    command,
    epilog,
    job_id,
    print_json,
)
from dioptra_worker.common.text.humanize import size
from dioptra_worker.common.text.printable import one_line

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class _Bytes(click.ParamType[int]):
    """Bytes, or a number with k, M, G or T behind it."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value).strip().lower().removesuffix("ib").removesuffix("b")
        unit = _UNITS.get(text[-1:])
        number = text[:-1] if unit else text
        if not number.isdigit():
            self.fail(f"{value!r} is no size: write 500M or 2G", param, ctx)
        return int(number) * (unit or 1)


@click.command(
    "capsule",
    epilog=epilog(
        "dioptra-worker jobs capsule 42",
        "dioptra-worker jobs capsule 42 -o evaluation.crate.zip --max-size 500M",
        "dioptra-worker jobs capsule 42 --without-data",
        "dioptra-worker jobs capsule 42 --with-lineage",
    ),
)
@job_id
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write.  [default: JOB.crate.zip]",
)
@click.option("--without-data", is_flag=True, help="Leave out all artifacts.")
@click.option(
    "--max-size",
    metavar="SIZE",
    type=_Bytes(),
    help="Leave out artifacts, the largest first, until the others fit, as in 500M.",
)
@click.option(
    "--with-lineage",
    is_flag=True,
    help="Put the jobs that it came from into it, too, each in a capsule of its own.",
)
@as_json
@command
def capsule_command(
    context: CommandContext,
    *,
    job_id: int,
    output: Path | None,
    without_data: bool,
    max_size: int | None,
    with_lineage: bool,
    as_json: bool,
) -> None:
    """Put all of JOB into one file, to be verified, run again and compared anywhere.

    The file is a Workflow Run RO-Crate with the task graph, plugins, parameters,
    inputs, outputs, log, metrics, packages, the manifest, and evidence if the worker
    has signed it. 'dioptra-worker capsule' works with it, without any service.
    MLFLOW_TRACKING_URI and the artifact store are asked, too.
    """
    from dioptra_worker.tools.capsule.making import make
    from dioptra_worker.tools.capsule.opening import Capsule

    target = output or Path(f"{job_id}.crate.zip")
    with ExitStack() as stack:
        source = stack.enter_context(context.job_source(job_id))
        ancestors = None
        if with_lineage:
            ancestors = stack.enter_context(context.ancestors(job_id))
        made = make(
            source,
            target,
            with_data=not without_data,
            max_size=max_size,
            ancestors=ancestors,
        )
    with Capsule(target) as capsule:
        findings = capsule.findings()
    if as_json:
        document = {
            "file": str(target),
            "bytes": target.stat().st_size,
            "omitted": made.omitted,
            "omitted_bytes": made.omitted_bytes,
            "changed": findings,
            "ancestors": made.ancestors,
            "missing_ancestors": {str(job): why for job, why in made.missing.items()},
        }
        print_json(document)
        return
    for name in made.ancestors:
        click.echo(f"with: {name}")
    for job, why in made.missing.items():
        click.echo(f"without job {job}, which it came from: {one_line(why)}", err=True)
    for name in made.omitted:
        click.echo(f"left out: {one_line(name)}")
    if made.omitted:
        click.echo(f"left out in all: {size(made.omitted_bytes)}")
    for sentence in findings:
        click.echo(f"not as the job's manifest has it: {one_line(sentence)}", err=True)
    click.echo(f"{target}  {size(target.stat().st_size)}")
