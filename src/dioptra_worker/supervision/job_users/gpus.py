"""Whether a job's user may use the GPUs, and which groups that takes."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

_DEVICES = ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm*", "kfd", "dri/renderD*", "dxg")


def gpu_devices(devices: Path = Path("/dev")) -> list[Path]:
    """The files of GPUs that there are."""
    return sorted(path for pattern in _DEVICES for path in devices.glob(pattern))


def gpu_groups(devices: Path = Path("/dev")) -> tuple[int, ...]:
    """The groups that may use the GPUs, where not everybody may."""
    found = set()
    for device in gpu_devices(devices):
        with contextlib.suppress(OSError):
            status = device.stat()
            if status.st_gid and stat.S_IMODE(status.st_mode) & 0o066 == 0o060:
                found.add(status.st_gid)
    return tuple(sorted(found))


def reason_against_gpus(devices: Path = Path("/dev")) -> str:
    """Why a user without rights could not use an NVIDIA GPU that root can; or nothing.

    CUDA makes the file that is missing by a setuid program, which a job's user must
    not gain rights by.
    """
    if (devices / "nvidiactl").exists() and not (devices / "nvidia-uvm").exists():
        return (
            f"{devices / 'nvidia-uvm'} is missing, which only root can make: run"
            " nvidia-modprobe -u -c 0 before the worker starts"
        )
    return ""
