"""``dioptra-worker-v1``, also ``dioptra-worker start``: the daemon."""

from __future__ import annotations

from dioptra_worker.cli.quiet_imports import QuietImports

with QuietImports():
    import gc
    import os
    import re
    import signal
    import sys
    from pathlib import Path
    from typing import TYPE_CHECKING, Any
    from urllib.parse import urlsplit

    from dioptra_worker.common.garbage import uncollected

    with uncollected():
        import click

        from dioptra_worker import __version__
        from dioptra_worker import settings as settings_module
        from dioptra_worker.cli import terminal
        from dioptra_worker.cli.exit_codes import ExitCode
        from dioptra_worker.cli.help import settings_epilog
        from dioptra_worker.cli.rq_options import (
            epilog,
            said_of_unused,
            take_unused_options,
        )
        from dioptra_worker.common.files.trusted_folder import make_private
        from dioptra_worker.common.processes import (
            heap,
            process_identity,
            process_privacy,
        )
        from dioptra_worker.common.processes.interpreter import what_python_lacks
        from dioptra_worker.common.text.printable import spelt_out
        from dioptra_worker.errors import (
            SettingsError,
            WorkerError,
        )

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.cli.rq_config import RqConfig
    from dioptra_worker.evidence.signing import Signer

EXAMPLES = """
\b
Examples:
  dioptra-worker-v1 tensorflow-cpu
  dioptra-worker-v1 --url redis://localhost:6379/0 --results-ttl 500 cpu gpu
  dioptra-worker-v1 --burst --max-jobs 1 tensorflow-cpu
  dioptra-worker-v1 --concurrency 4 pytorch-gpu
  dioptra-worker-v1 --verbose --pid worker.pid --dequeue-strategy random a b
  dioptra-worker-v1 --wait-for redis:6379 --wait-for restapi:5000 pytorch-cpu
"""


def _addresses(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    for text in given:
        match = re.fullmatch(r"(?:\[[^\]\s]+\]|[^:\[\]\s]+):([0-9]{1,5})", text)
        if match is None or not 0 < int(match[1]) < 65536:
            message = f"{text!r} is no HOST:PORT, such as redis:6379"
            raise click.BadParameter(message)
    return given


@take_unused_options
@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXAMPLES + epilog() + settings_epilog(),
)
@click.argument("queues", nargs=-1, metavar="QUEUE...")
@click.option("--url", "-u", metavar="REDIS", help="Overrides RQ_REDIS_URI.")
@click.option(
    "--results-ttl",
    type=click.IntRange(min=-1),
    default=500,
    show_default=True,
    help="Seconds that RQ keeps the record of a finished job.",
)
@click.option("--name", "-n", help="A fixed worker name; otherwise one is made up.")
@click.option("--burst", "-b", is_flag=True, help="End when the queues are empty.")
@click.option(
    "--max-jobs", type=click.IntRange(min=1), help="End after this many jobs."
)
@click.option(
    "--max-idle-time",
    type=click.FloatRange(min=0),
    help="End after this many seconds without a job.",
)
@click.option(
    "--wait-for",
    multiple=True,
    metavar="HOST:PORT",
    callback=_addresses,
    help="Accepted, since the platform's containers give it; it changes nothing: the"
    " worker waits for the services that it needs without being told.",
)
@click.option(
    "--isolation",
    type=click.Choice(["auto", "fork", "spawn"]),
    help="How job processes are made; overrides DIOPTRA_WORKER_ISOLATION.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1, max=1024),
    help="How many jobs run at a time, each in a slot of its own that --max-jobs and"
    " the other limits count for; overrides DIOPTRA_WORKER_CONCURRENCY.",
)
@click.option(
    "--no-warm",
    is_flag=True,
    help="Keep no runner ready, for the least memory; see DIOPTRA_WORKER_WARM.",
)
@click.option("--pool", type=int, hidden=True)
@click.option("--share-forkserver", is_flag=True, hidden=True)
@click.option(
    "--logging-level",
    "--logging_level",
    "logging_level",
    metavar="LEVEL",
    help="Overrides DIOPTRA_RQ_WORKER_LOG_LEVEL.",
)
@click.option("--verbose", "-v", is_flag=True, help="The same as level DEBUG.")
@click.option("--quiet", "-q", is_flag=True, help="The same as level WARNING.")
@click.option("--pid", metavar="FILE", help="Write the process' number there.")
@click.option(
    "--path",
    "-P",
    multiple=True,
    metavar="FOLDER",
    help="Where plugins find modules, too; overrides DIOPTRA_WORKER_IMPORT_PATH.",
)
@click.option(
    "--worker-ttl",
    type=int,
    help="Seconds without a sign of life after which a worker counts as lost;"
    " overrides DIOPTRA_WORKER_LEASE_TTL.",
)
@click.option(
    "--dequeue-strategy",
    "-ds",
    type=click.Choice(["default", "round_robin", "random"]),
    default="default",
    help="Which queue is looked at first: always the first one, the one behind that of"
    " the last job, or any.",
)
@click.option(
    "--config",
    "-c",
    envvar="RQ_CONFIG",
    metavar="MODULE",
    help="A module of RQ's settings, of which QUEUES, NAME and REDIS_... count where"
    " the command line says nothing.",
)
@click.version_option(__version__, prog_name="dioptra-worker")
def start(
    queues: tuple[str, ...],
    url: str | None,
    results_ttl: int,
    name: str | None,
    burst: bool,
    max_jobs: int | None,
    max_idle_time: float | None,
    wait_for: tuple[str, ...],
    isolation: str | None,
    concurrency: int | None,
    no_warm: bool,
    pool: int | None,
    share_forkserver: bool,
    logging_level: str | None,
    verbose: bool,
    quiet: bool,
    pid: str | None,
    path: tuple[str, ...],
    worker_ttl: int | None,
    dequeue_strategy: str,
    config: str | None,
) -> None:
    """Run the worker daemon on one or more QUEUEs, the most urgent first.

    It logs in to the Dioptra REST API, takes jobs from the queues, runs each in a
    process of its own, and delivers status, log, metrics and artifacts. SIGTERM,
    SIGHUP or Ctrl-C once: take no more jobs and give the running one a while to end.
    Twice: give it back to the queue at once.

    Exit status: 0 told to end or nothing left to do; 2 unusable command line or
    environment; 3 the API refused the login or is of a platform that is too old, or
    Redis refused its user what a worker does.
    """
    terminal.hide_secrets()
    # As process 1 of a container we would not hear SIGTERM until the daemon listens.
    _end_at_signals()
    from_rq = _rq_config(config, path)
    queues = queues or from_rq.queues
    if not queues:
        raise click.UsageError("Missing argument 'QUEUE...'.")
    given = {
        "RQ_REDIS_URI": url or from_rq.redis_url,
        "DIOPTRA_WORKER_ISOLATION": isolation,
        "DIOPTRA_WORKER_CONCURRENCY": str(concurrency) if concurrency else None,
        "DIOPTRA_WORKER_WARM": "false" if no_warm else None,
        "DIOPTRA_WORKER_IMPORT_PATH": ",".join(path),
        "DIOPTRA_WORKER_LEASE_TTL": None if worker_ttl is None else str(worker_ttl),
        "DIOPTRA_RQ_WORKER_LOG_LEVEL": _level(logging_level, verbose, quiet),
    }
    overrides = {name: value for name, value in given.items() if value}
    try:
        settings = settings_module.load(overrides)
        times = settings_module.load_times()
    except SettingsError as error:
        for problem in error.problems:
            click.echo(spelt_out(problem), err=True)
        sys.exit(ExitCode.USAGE)
    if complaint := (
        _unusable_python() or _unusable(settings.work_dir) or _write_pid(pid)
    ):
        click.echo(spelt_out(complaint), err=True)
        sys.exit(ExitCode.USAGE)
    for queue in queues:
        if queue != queue.strip() or not queue:
            click.echo(f"queue {queue!r}: a queue's name has no blank ends", err=True)
            sys.exit(ExitCode.USAGE)
    if url and urlsplit(url).password:
        click.echo(
            "--url has a password, which everybody on this machine can read while the"
            " worker runs: give the address as RQ_REDIS_URI or RQ_REDIS_URI_FILE",
            err=True,
        )
    # Plugins run as our user, and our environment has what they must not read.
    process_privacy.hide_memory()
    signer = _signer(settings)
    heap.use_one_arena()
    # Only now: --help and a wrong environment are answered without these.
    from dioptra_worker.cli.serving import serve
    from dioptra_worker.daemon.options import DaemonOptions

    options = DaemonOptions(
        queues=queues,
        name=name or from_rq.name,
        burst=burst,
        max_jobs=max_jobs,
        max_idle=max_idle_time,
        result_ttl=results_ttl,
        strategy=dequeue_strategy,
        unused=tuple(_unused(wait_for, from_rq)),
    )
    if settings.concurrency > 1:
        from dioptra_worker.cli.pool import run_pool

        sys.exit(run_pool(settings, options, overrides))
    if pool is not None:
        process_identity.end_with_parent(signal.SIGTERM)
    code = serve(
        settings,
        options,
        times,
        signer=signer,
        pool=pool if share_forkserver else None,
        is_slot=pool is not None,
    )
    gc.freeze()  # at its end Python would look for garbage in all that it has imported
    sys.exit(code)


def _level(given: str | None, verbose: bool, quiet: bool) -> str | None:
    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet exclude each other.")
    return "DEBUG" if verbose else "WARNING" if quiet else given


def _rq_config(module: str | None, path: tuple[str, ...]) -> RqConfig:
    from dioptra_worker.cli.rq_config import RqConfig, read_config

    if module is None:
        return RqConfig()
    try:
        return read_config(module, path=path)
    except SettingsError as error:
        click.echo(spelt_out(str(error)), err=True)
        sys.exit(ExitCode.USAGE)


def _unused(wait_for: tuple[str, ...], from_rq: RqConfig) -> Iterator[str]:
    """One sentence for all that was given and changes nothing."""
    if wait_for:
        yield (
            f"--wait-for {', '.join(wait_for)} changes nothing: the worker waits for"
            " all services that it needs, however long that takes"
        )
    yield from said_of_unused(click.get_current_context())
    if from_rq.unused:
        yield (
            f"{', '.join(from_rq.unused)} of --config change nothing: the log is the"
            " worker's own, and nothing is reported to Sentry"
        )


def _signer(settings: settings_module.Settings) -> Signer | None:
    """What signs the manifests of jobs, if there is a key; ends us if that is none."""
    if not settings.evidence_key.get_secret_value():
        return None
    from dioptra_worker.cli.signer import open_signer

    try:
        return open_signer(settings, os.environ)
    except WorkerError as error:
        click.echo(spelt_out(str(error)), err=True)
        sys.exit(ExitCode.USAGE)


def _end_at_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)


def _end(_signal: int, _frame: Any) -> None:
    sys.exit(ExitCode.OK)


def _unusable_python() -> str | None:
    """One sentence about what this Python lacks."""
    lacks = what_python_lacks()
    return lacks and f"{lacks[0]}, which the worker needs: {lacks[1]}"


def _unusable(work_dir: Path) -> str | None:
    """One sentence about what is wrong with the work folder; it is made if need be."""
    try:
        make_private(work_dir)
        next(work_dir.iterdir(), None)
        reason = None if os.access(work_dir, os.W_OK | os.X_OK) else "Permission denied"
    except OSError as error:
        reason = error.strerror
    return reason and (
        f"DIOPTRA_WORKER_WORK_DIR: {str(work_dir)!r} cannot be used: {reason}. Name a"
        f" folder that user {os.getuid()} may write to, or mount one there."
    )


def _write_pid(file: str | None) -> str | None:
    """Write the file of --pid; one sentence about what is wrong with it."""
    if file is None:
        return None
    try:
        Path(file).expanduser().write_text(str(os.getpid()), encoding="ascii")
    except (OSError, RuntimeError) as error:  # the second: nobody has such a home
        reason = getattr(error, "strerror", None) or error
        return f"--pid {file!r} cannot be written: {reason}"
    return None


def main() -> None:
    """Entry point of ``dioptra-worker-v1``."""
    start(prog_name="dioptra-worker-v1")


if __name__ == "__main__":
    main()
