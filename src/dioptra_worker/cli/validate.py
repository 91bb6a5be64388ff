"""``dioptra-worker validate``: the verdict on entrypoints and their plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.tools.workbench.planning.checking import Verdict

_EPILOG = """\b
Examples:
  dioptra-worker validate my-evaluation/
  dioptra-worker validate entrypoint.yml
  dioptra-worker validate --plugins plugins/ entrypoints/*/entrypoint.yml
  dioptra-worker validate --json entrypoint.yml | jq '.[].issues[].message'

\b
Exit codes:
  0  every file is valid; there may be warnings
  1  at least one file is not
  2  a file cannot be read, a folder has none to check, or the command line is
     wrong
"""


@click.command("validate", epilog=_EPILOG)
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, readable=True, path_type=Path),
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead.")
@click.option(
    "--plugins",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of plugin packages of files on their own; 'plugins' beside each"
    " unless given. Code is read, not run.",
)
def validate_command(
    paths: tuple[Path, ...], *, as_json: bool, plugins: Path | None
) -> None:
    """Check entrypoints as a worker does before it runs them.

    A PATH is a whole entrypoint in YAML, with 'tasks' and 'graph', or a folder as
    'dioptra-worker import' and 'run' take it. Their plugins are looked at, too. Every
    mistake is shown with its line and column.
    """
    found = [verdict for path in paths for verdict in _verdicts(path, plugins)]
    if as_json:
        click.echo(json.dumps([_record(verdict) for verdict in found], indent=2))
    else:
        _print(found)
    if not all(verdict.valid for verdict in found):
        raise click.exceptions.Exit(ExitCode.FAILED)


def _verdicts(path: Path, plugins: Path | None) -> list[Verdict]:
    from dioptra_worker.tools.workbench.planning.checking import verdicts

    try:
        return list(verdicts(path, plugins=plugins))
    except OSError as error:
        message = f"Could not read {error.filename or str(path)!r}: {error.strerror}."
        raise click.UsageError(message) from error
    except WorkerError as error:  # it has nothing to check
        raise click.UsageError(str(error)) from error


def _record(verdict: Verdict) -> dict[str, Any]:
    return {
        "file": str(verdict.file),
        "valid": verdict.valid,
        "issues": [
            {
                "severity": issue.severity.value,
                "message": issue.message,
                "path": list(issue.path),
                "line": issue.line,
                "column": issue.column,
            }
            for issue in verdict.issues
        ],
    }


def _print(found: Sequence[Verdict]) -> None:
    for one in found:
        for issue in one.issues:
            place = f":{issue.line}:{issue.column}" if issue.line else ""
            severity = issue.severity.value
            click.echo(f"{one.file}{place}: {severity}: {spelt_out(issue.message)}")
        if one.valid:
            click.echo(f"{one.file}: valid")
    invalid = sum(not one.valid for one in found)
    if len(found) > 1:
        verdict = f"{invalid} of them invalid" if invalid else "all valid"
        click.echo(f"{len(found)} files, {verdict}")
