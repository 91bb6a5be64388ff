"""``dioptra-worker validate``: the engine's verdict on entrypoint files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker import engine
from dioptra_worker.cli.exit_codes import ExitCode
from dioptra_worker.common.text.printable import spelt_out
from dioptra_worker.engine import Issue, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """\b
Examples:
  dioptra-worker validate entrypoint.yml
  dioptra-worker validate --plugins plugins/ entrypoints/*/entrypoint.yml
  dioptra-worker validate --json entrypoint.yml | jq '.[].issues[].message'

\b
Exit codes:
  0  every file is valid; there may be warnings
  1  at least one file is not
  2  a file or folder cannot be read, or the command line is wrong
"""


@click.command("validate", epilog=_EPILOG)
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead.")
@click.option(
    "--plugins",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Look the tasks' functions up in this folder of plugin packages. Their code is"
    " read, not run.",
)
def validate_command(
    files: tuple[Path, ...], *, as_json: bool, plugins: Path | None
) -> None:
    """Check entrypoint files as a worker does before it runs them.

    Each FILE is a whole entrypoint in YAML, with 'tasks' and 'graph'. Every mistake
    is shown with its line and column.
    """
    sources = engine.Sources(plugins) if plugins else None
    found = [(file, _issues(file, sources)) for file in files]
    if as_json:
        click.echo(
            json.dumps([_record(file, issues) for file, issues in found], indent=2)
        )
    else:
        _print(found)
    if not all(_is_valid(issues) for _, issues in found):
        raise click.exceptions.Exit(ExitCode.FAILED)


def _issues(file: Path, sources: engine.Sources | None) -> Sequence[Issue]:
    try:
        return engine.validate(engine.load(file), plugins=sources)
    except engine.InvalidGraph as error:
        return error.issues
    except OSError as error:
        message = f"Could not read {str(file)!r}: {error.strerror}."
        raise click.UsageError(message) from error


def _is_valid(issues: Sequence[Issue]) -> bool:
    return all(issue.severity is not Severity.ERROR for issue in issues)


def _record(file: Path, issues: Sequence[Issue]) -> dict[str, Any]:
    return {
        "file": str(file),
        "valid": _is_valid(issues),
        "issues": [
            {
                "severity": issue.severity.value,
                "message": issue.message,
                "path": list(issue.path),
                "line": issue.line,
                "column": issue.column,
            }
            for issue in issues
        ],
    }


def _print(found: Sequence[tuple[Path, Sequence[Issue]]]) -> None:
    for file, issues in found:
        for issue in issues:
            place = f":{issue.line}:{issue.column}" if issue.line else ""
            severity = issue.severity.value
            click.echo(f"{file}{place}: {severity}: {spelt_out(issue.message)}")
        if _is_valid(issues):
            click.echo(f"{file}: valid")
    invalid = sum(not _is_valid(issues) for _, issues in found)
    if len(found) > 1:
        verdict = f"{invalid} of them invalid" if invalid else "all valid"
        click.echo(f"{len(found)} files, {verdict}")
