"""What the commands about evidence share."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import record_lines
from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dioptra_worker.evidence.keys import PublicKey


@contextmanager
def sentences(code: ExitCode = ExitCode.FAILED) -> Iterator[None]:
    """Turn an error into a sentence and an exit code."""
    try:
        yield
    except WorkerError as error:
        click.echo(record_lines(str(error)), err=True)
        sys.exit(code)


def key_option(*, required: bool) -> Callable[[Any], Any]:
    """The option of who verifies; may be given several times."""
    return click.option(
        "--key",
        "key_files",
        metavar="PUB",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        multiple=True,
        required=required,
        help="A file of public keys that you believe; may be given several times.",
    )


def read_keys(files: Sequence[Path]) -> list[PublicKey]:
    """The public keys of some files; ends the command where one is none."""
    if not files:
        return []
    with sentences(ExitCode.USAGE):
        from dioptra_worker.evidence import keys

        return [key for file in files for key in keys.read_public(file)]
