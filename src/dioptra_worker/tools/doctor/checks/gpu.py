"""Whether jobs will see a GPU, found out without importing a framework.

Nothing here fails: a worker without a GPU is a worker.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.tools.doctor.finding import Finding, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NAME = "GPU"
HIDDEN = {"", "-1", "none", "void", "NoDevFiles"}
_QUERY = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
_TOOLKIT = (
    "run the container with --gpus all (Docker) or --device nvidia.com/gpu=all"
    " (Podman), on a host with the NVIDIA container toolkit"
)


def check(
    queues: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout: float,
    devices: Path = Path("/dev"),
) -> Iterator[Finding]:
    """Check which GPUs jobs will see.

    Args:
        queues: The queues of the worker; one with ``gpu`` in its name wants a GPU.
        environment: The worker's.
        timeout: Seconds that ``nvidia-smi`` may take.
        devices: Where device files are.
    """
    files = sorted(devices.glob("nvidia[0-9]*"))
    wanted = [queue for queue in queues if "gpu" in queue.lower()]
    hidden = environment.get("CUDA_VISIBLE_DEVICES")
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if hidden is not None and hidden.strip() in HIDDEN and (files or wanted):
        yield warn(
            NAME,
            f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU from jobs",
            "unset CUDA_VISIBLE_DEVICES for the worker, or name devices",
        )
    elif files or program:
        yield _nvidia(files, program, hidden, timeout)
    elif (devices / "kfd").exists():
        yield ok(NAME, "an AMD GPU (ROCm's device files are there)")
    elif sys.platform == "darwin" and platform.machine() == "arm64":
        yield ok(NAME, "Apple silicon (Metal)")
    elif wanted:
        names = ", ".join(map(repr, wanted))
        yield warn(NAME, f"none is visible, but queue {names} is for GPUs", _TOOLKIT)
    else:
        yield ok(NAME, "none; jobs run on the CPU")


def _nvidia(
    files: Sequence[Path], program: str | None, visible: str | None, timeout: float
) -> Finding:
    note = f"; CUDA_VISIBLE_DEVICES={visible}" if visible is not None else ""
    if program is None:
        names = ", ".join(file.name for file in files)
        return ok(NAME, f"device files {names}, but no nvidia-smi to ask{note}")
    try:
        answer = subprocess.run(
            [program, *_QUERY],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return warn(NAME, f"nvidia-smi does not answer: {error}", "see the driver")
    lines = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    if answer.returncode or not lines:
        words = (lines or answer.stderr.splitlines() or ["it says nothing"])[0]
        return warn(
            NAME,
            f"nvidia-smi finds none: {words[:200]}",
            f"the driver must run on the host; {_TOOLKIT}",
        )
    return ok(NAME, "; ".join(lines) + note)
