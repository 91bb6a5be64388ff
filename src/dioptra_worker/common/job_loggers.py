"""What the loggers of a job are called, so that none can be taken for the worker's."""

from __future__ import annotations

import re
import unicodedata

from dioptra_worker.protocol.messages import OWN_LOGGER

RUNNER_LOGGER = "runner"
"""What stands for `OWN_LOGGER` in the names of a runner's loggers."""


def name_of_job(logger: str) -> str:
    """What a job's logger is called: those that look like ours are the runner's.

    Args:
        logger: Its name in the job's process.
    """
    plain = unicodedata.normalize("NFKC", logger).casefold()
    if not re.sub(r"[^\w.]", "", plain).startswith(OWN_LOGGER):
        return logger
    if logger == OWN_LOGGER or logger.startswith(f"{OWN_LOGGER}."):
        return RUNNER_LOGGER + logger.removeprefix(OWN_LOGGER)
    return f"{RUNNER_LOGGER}.{logger}"
