"""Processes that a task has started anew: they find the worker by their environment."""

from __future__ import annotations

import os

from dioptra_worker.sdk import bridge
from dioptra_worker.sdk.channel_bridge import ChannelBridge
from dioptra_worker.sdk.child_link import ChildLink

_JOB_VARIABLE = "__JOB_ID"


def attach() -> bridge.Bridge | None:
    """The bridge to the worker, in whatever process of a job; None elsewhere."""
    address = os.environ.get(bridge.ADDRESS_VARIABLE)
    job_id = os.environ.get(_JOB_VARIABLE, "")
    if bridge.installed() is None and address and job_id.isdigit():
        bridge.install(ChannelBridge(ChildLink(address), job_id=int(job_id)))
    return bridge.installed()
