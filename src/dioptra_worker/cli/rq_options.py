"""Options of ``rq worker`` that the daemon takes, and that change nothing here.

The platform's worker takes whatever ``rq worker`` takes, so a command line that has
worked there must go on working. What has a meaning for this worker is an option of
`dioptra_worker.cli.start`; each of the others is told once, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable

_GIVEN = "dioptra_worker.unused"
_NO_SENTRY = "nothing is reported to Sentry"
_OWN_CLASSES = "the worker reads and runs what Dioptra enqueues, and nothing else"
_OWN_VERDICT = "how a job ended is told in its own log, and decided by the worker"
_OWN_FORMAT = "the log is text for people, or JSON with DIOPTRA_RQ_WORKER_LOG_AS_JSON"


@dataclass(frozen=True)
class UnusedOption:
    """An option that is taken and changes nothing.

    Attributes:
        flags: How it is written, the short form first.
        why: Why it changes nothing, as the second half of a sentence.
        is_flag: Whether it has no value.
        variable: The variable by which RQ takes it, too.
    """

    flags: tuple[str, ...]
    why: str
    is_flag: bool = False
    variable: str | None = None


UNUSED = (
    UnusedOption(("--log-format",), _OWN_FORMAT),
    UnusedOption(("--date-format",), _OWN_FORMAT),
    UnusedOption(
        ("--maintenance-interval",),
        "the worker looks for lost jobs by itself, every 15 seconds",
    ),
    UnusedOption(
        ("--job-monitoring-interval",),
        "a job is watched all the time, and its heartbeat follows from --worker-ttl",
    ),
    UnusedOption(
        ("--disable-job-desc-logging",),
        "a job is named by its number, without what it was given",
        is_flag=True,
    ),
    UnusedOption(("--exception-handler",), _OWN_VERDICT),
    UnusedOption(
        ("-d", "--disable-default-exception-handler"), _OWN_VERDICT, is_flag=True
    ),
    UnusedOption(
        ("-s", "--with-scheduler"), "Dioptra schedules nothing with RQ", is_flag=True
    ),
    UnusedOption(("-S", "--serializer"), _OWN_CLASSES),
    UnusedOption(("--connection-class",), _OWN_CLASSES, variable="RQ_CONNECTION_CLASS"),
    UnusedOption(("--queue-class",), _OWN_CLASSES, variable="RQ_QUEUE_CLASS"),
    UnusedOption(("-j", "--job-class"), _OWN_CLASSES, variable="RQ_JOB_CLASS"),
    UnusedOption(
        ("-w", "--worker-class"),
        f"{_OWN_CLASSES}; --dequeue-strategy is there for what RQ's RoundRobinWorker"
        " and RandomWorker do",
        variable="RQ_WORKER_CLASS",
    ),
    UnusedOption(("--sentry-ca-certs",), _NO_SENTRY, variable="RQ_SENTRY_CA_CERTS"),
    UnusedOption(("--sentry-debug",), _NO_SENTRY, variable="RQ_SENTRY_DEBUG"),
    UnusedOption(("--sentry-dsn",), _NO_SENTRY, variable="RQ_SENTRY_DSN"),
)
"""All of them, of rq 1.16 to 3.0."""


def take_unused_options(command: click.Command) -> click.Command:
    """Have a command take `UNUSED`, without showing each in its help."""
    for option in UNUSED:
        command.params.append(
            click.Option(
                option.flags,
                is_flag=option.is_flag,
                multiple=not option.is_flag,  # RQ takes some several times
                envvar=option.variable,
                hidden=True,
                expose_value=False,
                callback=_noting(option),
            )
        )
    return command


def said_of_unused(context: click.Context) -> list[str]:
    """One sentence for each of `UNUSED` that was given."""
    given: list[tuple[UnusedOption, str]] = context.meta.get(_GIVEN, [])
    return [
        _sentence(option, context.get_parameter_source(name)) for option, name in given
    ]


def _sentence(option: UnusedOption, source: ParameterSource | None) -> str:
    by_variable = source is ParameterSource.ENVIRONMENT and option.variable
    name = option.variable if by_variable else option.flags[-1]
    return f"{name} changes nothing: {option.why}"


def epilog() -> str:
    """The end of the help, which names them all."""
    names = ", ".join(option.flags[-1] for option in UNUSED)
    return (
        "\nOptions of `rq worker` that are taken and change nothing, as one line of the"
        f" log then says for each: {names}.\n"
    )


def _noting(
    option: UnusedOption,
) -> Callable[[click.Context, click.Parameter, Any], None]:
    def note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if not value:
            return
        assert parameter.name is not None
        context.meta.setdefault(_GIVEN, []).append((option, parameter.name))

    return note
