"""``dioptra-worker run``: an entrypoint on one's own machine, without any server."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dioptra_worker.cli.exit_codes import ExitCode, exit_code
from dioptra_worker.cli.interrupts import interrupt_at_sigterm
from dioptra_worker.cli.pairs import pairs, values_from_file
from dioptra_worker.common.text.printable import one_line, record_lines
from dioptra_worker.errors import SettingsError, WorkerError

if TYPE_CHECKING:
    from dioptra_worker.tools.lineage.signing import Signer
    from dioptra_worker.tools.workbench.planning.run_plan import RunPlan
    from dioptra_worker.tools.workbench.planning.run_request import RunRequest
    from dioptra_worker.tools.workbench.running.display import Reporter
    from dioptra_worker.tools.workbench.running.results import Result

_EPILOG = """\b
Examples:
  dioptra-worker run entrypoints/hello-world -P name=Ada -P times=2
  dioptra-worker run --watch entrypoints/hello-world
  dioptra-worker run --debug entrypoints/failing-job
  dioptra-worker run entrypoints/artifact-chain/consume.yml \\
    --artifact readings=readings.json --artifact by_day:FolderOfTables=by-day
  dioptra-worker run --config extra/dioptra_optic.toml \\
    extra/entrypoints/dioptra_optic/model_train.yml
  dioptra-worker run --json entrypoints/hello-world | jq .artifacts

\b
Environment (optional):
  MLFLOW_TRACKING_URI  the MLflow to keep runs in, unless --store is given
  DIOPTRA_API, DIOPTRA_WORKER_USERNAME, DIOPTRA_WORKER_PASSWORD
                       a Dioptra, for plugins that ask, and for --publish-as
  RQ_REDIS_URI         the record of batches, for --publish-as
  DIOPTRA_RQ_WORKER_LOG_LEVEL  the least severity that the log has, as a job's

\b
Exit codes:
  0  the run finished
  1  it failed, or its task graph, dioptra.toml or a plugin is wrong
  2  there is no such entrypoint, or what is given does not fit it
  130  it was interrupted, as --watch is in the end
"""


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class _Duration(click.ParamType[float]):
    """Seconds, or a number with s, m or h behind it."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value).strip()
        unit = _UNITS.get(text[-1:])
        try:
            seconds = float(text[:-1]) * unit if unit else float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is no time: write 90, 90s, 15m or 2h", param, ctx)
        return seconds


@click.command("run", epilog=_EPILOG)
@click.argument("entrypoint", type=click.Path(path_type=Path))
@click.option(
    "-P",
    "--param",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=pairs,
    help="A parameter's value, read by its declared type; lists and mappings in JSON,"
    " or NAME.KEY=VALUE for one entry of a mapping.",
)
@values_from_file
@click.option(
    "--artifact",
    "artifacts",
    metavar="NAME[:TASK]=PATH",
    multiple=True,
    callback=pairs,
    help="A file or folder for an artifact input, and what reads it where that is not"
    " clear.",
)
@click.option(
    "--swap",
    "swaps",
    metavar="NAME=CHOICE",
    multiple=True,
    callback=pairs,
    help="The choice that a swap is to be.",
)
@click.option(
    "--plugins",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of plugin packages, for a YAML file on its own; 'plugins' beside"
    " it unless given.",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of another name, or elsewhere, that stands for the dioptra.toml.",
)
@click.option(
    "--store",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the run in this folder, 'mlruns' unless MLFLOW_TRACKING_URI is set.",
)
@click.option(
    "--timeout", metavar="TIME", type=_Duration(), help="Such as 90s, 15m or 2h."
)
@click.option(
    "--watch",
    is_flag=True,
    help="Run again whenever a file of it changes; Ctrl-C ends.",
)
@click.option(
    "--debug",
    is_flag=True,
    help="Run in this process, and open the debugger where a plugin fails.",
)
@click.option(
    "--publish-as",
    metavar="WORKER_RUN",
    help="Publish artifacts and metrics, and record the elements of batches, under your"
    " personal worker run, if the run finishes. It is kept in 'mlruns' unless --store"
    " is given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.option(
    "--preload",
    metavar="MODULES",
    default="",
    help="Modules, separated by commas, to import once for all runs of --watch.",
)
@click.option(
    "--isolation",
    type=click.Choice(["auto", "fork", "spawn"]),
    default="auto",
    show_default=True,
    help="How the run's process is made.",
)
def run_command(
    entrypoint: Path,
    parameters: dict[str, str],
    file_values: dict[str, Any],
    artifacts: dict[str, str],
    swaps: dict[str, str],
    plugins: Path | None,
    config: Path | None,
    store: Path | None,
    timeout: float | None,
    watch: bool,
    debug: bool,
    publish_as: str | None,
    as_json: bool,
    preload: str,
    isolation: str,
) -> None:
    """Run an entrypoint on this machine, without any server.

    ENTRYPOINT is a folder with a dioptra.toml, or the YAML file of a task graph, which
    a dioptra.toml beside or above it may declare. It runs in the same process, under
    the same supervision, as a worker's job, and is kept in the folder 'mlruns', which
    MLflow can read, or in the MLflow that MLFLOW_TRACKING_URI names.
    """
    if debug and (watch or timeout or as_json):
        raise click.UsageError(
            "--debug goes with neither --watch, --timeout nor --json"
        )
    if publish_as and (watch or debug):
        raise click.UsageError("--publish-as goes with neither --watch nor --debug")
    if watch and as_json:
        raise click.UsageError("--watch does not go with --json")
    from dioptra_worker.cli.certificates import print_unverified
    from dioptra_worker.common.files.trusted_folder import make_private
    from dioptra_worker.common.files.workspace import temporary_work_dir
    from dioptra_worker.settings import log_level
    from dioptra_worker.tools.workbench.planning.run_request import RunRequest

    make_private(temporary_work_dir())
    print_unverified()
    request = RunRequest(
        path=entrypoint,
        plugins=plugins,
        config=config,
        parameters=file_values | parameters,
        artifacts=artifacts,
        swaps=swaps,
    )
    if store is None and (publish_as or not os.environ.get("MLFLOW_TRACKING_URI")):
        store = Path("mlruns")
    store = store.absolute() if store else None
    try:
        level = log_level(os.environ)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    interrupt_at_sigterm()  # it would leave processes and folders of the run behind
    if debug:
        sys.exit(_debug(request, store, level))
    sys.exit(
        _supervised(
            request,
            store,
            watch=watch,
            timeout=timeout,
            publish_as=publish_as,
            as_json=as_json,
            level=level,
            isolation=isolation,
            preload=tuple(name.strip() for name in preload.split(",") if name.strip()),
        )
    )


def _supervised(
    request: RunRequest,
    store: Path | None,
    *,
    watch: bool,
    timeout: float | None,
    publish_as: str | None,
    as_json: bool,
    level: str,
    isolation: str,
    preload: tuple[str, ...],
) -> ExitCode:
    from dioptra_worker.job_environment import for_local_runs
    from dioptra_worker.sdk.no_debugger import HOOK
    from dioptra_worker.tools.workbench.running.api_sessions import sessions
    from dioptra_worker.tools.workbench.running.display import Display, Reporter, record
    from dioptra_worker.tools.workbench.running.loop import keep_running
    from dioptra_worker.tools.workbench.running.supervised import LocalRunner

    reporter = Reporter(store)
    signer = _signer(publish_as) if publish_as else None
    runner = LocalRunner(
        folder=store,
        isolation=isolation,
        preload=preload,
        environment={"PYTHONBREAKPOINT": HOOK} | for_local_runs(os.environ),
        session=sessions(os.environ),
        claims=signer.claim if signer else None,
        log_level=level,
        adopts_orphans=True,
    )
    with runner:
        if watch:
            keep_running(
                request,
                runner,
                reporter=reporter,
                listener=Display(),
                timeout=timeout,
            )
            return ExitCode.INTERRUPTED
        run_plan = _prepare(request, reporter)
        if not as_json:
            reporter.opening(run_plan)
        try:
            result = runner.run(
                run_plan, listener=None if as_json else Display(), timeout=timeout
            )
        except (WorkerError, OSError) as error:
            click.echo(record_lines(f"the run could not be started: {error}"), err=True)
            return ExitCode.FAILED
    if not as_json:
        reporter.closing(result)
    published = _publish(signer, result) if signer else {}
    if as_json:
        found = record(run_plan, result, store=store)
        more = {"published": published} if signer else {}
        click.echo(json.dumps({**found, **more}, indent=2))
    else:
        for name, id_ in (published or {}).items():
            click.echo(f"published {one_line(name)} as artifact {id_}")
    if runner.interrupted:
        return ExitCode.INTERRUPTED
    return _code(result.finished and published is not None)


def _signer(worker_run: str) -> Signer:
    """What publishes in the person's name, before anything is run."""
    from dioptra_worker.tools.lineage.signing import open_signer

    try:
        return open_signer(os.environ, worker_run)
    except WorkerError as error:
        click.echo(record_lines(str(error)), err=True)
        sys.exit(exit_code(error))


def _publish(signer: Signer, result: Result) -> dict[str, int] | None:
    """Publish what a run has made; None if nothing is, which is said."""
    from dioptra_worker.tools.lineage.signing import publish_results

    signer.close(result.reason or "the run ended")
    if not result.finished:
        click.echo("nothing is published: the run failed", err=True)
        return None
    try:
        return publish_results(
            signer,
            artifacts={name: result.artifact(name) for name in result.artifacts},
            metrics={k: (one.value, one.step) for k, one in result.metrics.items()},
        )
    except WorkerError as error:
        click.echo(record_lines(str(error)), err=True)
        return None


def _debug(request: RunRequest, store: Path | None, level: str) -> ExitCode:
    from dioptra_worker.common.environment import set_defaults
    from dioptra_worker.job_environment import RUNNER_DEFAULTS
    from dioptra_worker.tools.workbench.running.api_sessions import sessions
    from dioptra_worker.tools.workbench.running.debugging import open_debugger
    from dioptra_worker.tools.workbench.running.display import Display, Reporter
    from dioptra_worker.tools.workbench.running.inprocess import run

    reporter = Reporter(store)
    run_plan = _prepare(request, reporter)
    reporter.opening(run_plan)
    set_defaults(RUNNER_DEFAULTS)  # the home stays: it is the process of a person
    try:
        result = run(
            run_plan,
            folder=store,
            listener=Display(),
            sessions=sessions(os.environ),
            on_failure=open_debugger,
            log_level=level,
        )
    except WorkerError as error:
        click.echo(record_lines(str(error)), err=True)
        return ExitCode.FAILED
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    reporter.closing(result)
    return _code(result.finished)


def _prepare(request: RunRequest, reporter: Reporter) -> RunPlan:
    from dioptra_worker.tools.workbench.errors import InvalidEntrypoint, WorkbenchError

    try:
        return request.prepare()
    except WorkbenchError as error:
        reporter.problem(error)
        invalid = isinstance(error, InvalidEntrypoint)
        sys.exit(ExitCode.FAILED if invalid else ExitCode.USAGE)


def _code(finished: bool) -> ExitCode:
    return ExitCode.OK if finished else ExitCode.FAILED
