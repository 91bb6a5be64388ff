"""Which GPUs a slot's jobs may use."""

from __future__ import annotations

import re
from pathlib import Path

_DEVICES = Path("/dev")


def visible(setting: str, *, given: str | None, devices: Path = _DEVICES) -> list[str]:
    """The GPUs that there are to assign.

    Args:
        setting: ``auto``, or their numbers or UUIDs, separated by commas.
        given: The environment's ``CUDA_VISIBLE_DEVICES``, if it is set.
        devices: The folder with the machine's devices.

    Returns:
        What ``CUDA_VISIBLE_DEVICES`` would list.
    """
    if setting != "auto":
        return _split(setting)
    if given is not None:
        return _split(given)
    found = (
        re.fullmatch(r"nvidia(\d+)", path.name) for path in devices.glob("nvidia*")
    )
    return sorted((match[1] for match in found if match), key=int)


def assign(gpus: list[str], slots: int) -> list[list[str]]:
    """Assign GPUs to slots, round and round.

    Args:
        gpus: What there is.
        slots: How many slots there are.

    Returns:
        Each slot's GPUs: where there are fewer than slots, slots share one; where
        there are more, a slot has several.
    """
    if not gpus:
        return [[] for _ in range(slots)]
    if len(gpus) < slots:
        return [[gpus[slot % len(gpus)]] for slot in range(slots)]
    return [gpus[slot::slots] for slot in range(slots)]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
