"""Processes that a task has started anew: they find the worker by their environment."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from dioptra_worker.sdk import bridge, output_capture
from dioptra_worker.sdk.channel_bridge import ChannelBridge
from dioptra_worker.sdk.child_link import ChildLink

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from dioptra_worker.protocol.messages import OutputStream

_JOB_VARIABLE = "__JOB_ID"


def announce(
    environment: MutableMapping[str, str], *, address: str, log_level: str
) -> None:
    """Tell processes that this one will start what `attach` needs to know.

    Args:
        environment: What they inherit.
        address: Where they find the worker.
        log_level: The least severity of log records to send.
    """
    environment[bridge.ADDRESS_VARIABLE] = address
    files = [_file(descriptor) for descriptor in output_capture.STREAMS.values()]
    environment[bridge.OUTPUT_VARIABLE] = " ".join([log_level, *files])


def attach(*, capture: bool = False) -> bridge.Bridge | None:
    """The bridge to the worker, in whatever process of a job; None elsewhere.

    Args:
        capture: Whether what is printed and logged goes the same way, so that lines of
            several processes come whole. What leads elsewhere than the job's own
            streams, to a file or to the task, is left alone.
    """
    address = os.environ.get(bridge.ADDRESS_VARIABLE)
    job_id = os.environ.get(_JOB_VARIABLE, "")
    if bridge.installed() is None and address and job_id.isdigit():
        link = ChildLink(address)
        bridge.install(ChannelBridge(link, job_id=int(job_id)))
        if capture:
            _capture(link)
    return bridge.installed()


def _capture(link: ChildLink) -> None:
    level, *files = os.environ.get(bridge.OUTPUT_VARIABLE, "").split()
    streams: list[OutputStream] = [
        name
        for (name, descriptor), file in zip(
            output_capture.STREAMS.items(), files, strict=False
        )
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
