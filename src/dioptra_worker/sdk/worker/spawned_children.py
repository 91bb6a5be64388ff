"""Processes that a task has started anew: they find the worker by their environment."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dioptra_worker.errors import WorkerError
from dioptra_worker.protocol.job_variables import (
    JOB_VARIABLE,
    OUTPUT_VARIABLE,
    SOCKET_VARIABLE,
    STREAMS,
)
from dioptra_worker.sdk.worker import bridge
from dioptra_worker.tracking.backend import backend
from dioptra_worker.tracking.mlflow import active_run

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from dioptra_worker.protocol.messages import OutputStream
    from dioptra_worker.sdk.worker.child_link import ChildLink

log = logging.getLogger("dioptra_worker.job")


def announce(
    environment: MutableMapping[str, str], *, address: str, log_level: str
) -> None:
    """Tell processes that this one will start what `attach` needs to know.

    Args:
        environment: What they inherit.
        address: Where they find the worker.
        log_level: The least severity of log records to send.
    """
    environment[SOCKET_VARIABLE] = address
    files = [_file(descriptor) for descriptor in STREAMS.values()]
    environment[OUTPUT_VARIABLE] = " ".join([log_level, *files])


def attach(*, capture: bool = False) -> bridge.Bridge | None:
    """The bridge to the worker, in whatever process of a job; None elsewhere.

    Args:
        capture: Whether what is printed and logged goes the same way, so that lines of
            several processes come whole. What leads elsewhere than the job's own
            streams, to a file or to the task, is left alone.
    """
    address = os.environ.get(SOCKET_VARIABLE)
    job_id = os.environ.get(JOB_VARIABLE, "")
    if bridge.installed() is None and address and job_id.isdigit():
        link, ours = _connect(address, int(job_id))
        bridge.install(ours)
        if capture:
            _capture(link)
    return bridge.installed()


def _connect(address: str, job_id: int) -> tuple[ChildLink, bridge.Bridge]:
    """A way to the worker, and the bridge that goes by it."""
    # Not above: whoever imports a plugin anywhere else needs nothing of it.
    from dioptra_worker.protocol.messages import NO_JOB  # noqa: PLC0415
    from dioptra_worker.sdk.worker.channel_bridge import ChannelBridge  # noqa: PLC0415
    from dioptra_worker.sdk.worker.child_link import ChildLink  # noqa: PLC0415

    link = ChildLink(address)
    ours = ChannelBridge(link, job_id=job_id)
    if job_id == NO_JOB:
        ours.store_metric = _store_metric
    return link, ours


def _store_metric(name: str, value: float, step: int) -> None:
    """Write a metric into the job's run, where no server passes it on."""
    place = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    folder = unquote(place.path) if place.scheme == "file" else None
    run_id = os.environ.get(active_run.VARIABLE, "")
    try:
        backend(folder).log_metric(run_id, name, value, step)
    except (WorkerError, OSError) as error:
        log.warning("metric %r is not in the run: %s", name, error)


def _capture(link: ChildLink) -> None:
    from dioptra_worker.sdk import output_capture  # noqa: PLC0415 - as above

    level, *files = os.environ.get(OUTPUT_VARIABLE, "").split()
    streams: list[OutputStream] = [
        name
        for (name, descriptor), file in zip(STREAMS.items(), files, strict=False)
        if _file(descriptor) == file
    ]
    if "stderr" in streams:  # where Python would log to
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        output_capture.capture(link.send, level=level, streams=streams)


def _file(descriptor: int) -> str:
    """What a descriptor leads to; empty for nothing."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"
