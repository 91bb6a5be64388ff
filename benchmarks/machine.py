"""The circumstances of a measurement, without names of hosts or paths."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.rivals import Rival

_PACKAGES = ("dioptra-worker", "dioptra-platform", "rq", "mlflow-skinny", "boto3")
_ASK = (
    "import importlib.metadata as m, sys\n"
    "for name in sys.argv[1:]:\n"
    "    found = next(iter(m.distributions(name=name)), None)\n"
    "    print(found.version if found else '-')"
)


def circumstances(rivals: Sequence[Rival]) -> dict[str, Any]:
    """Describe date, machine and versions, as they are now."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory GiB": round(_memory_gib(), 1),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "load before": round(os.getloadavg()[0], 2),
        },
        "versions": {rival.name: _versions(rival.python) for rival in rivals},
    }


def _versions(python: Path) -> dict[str, str]:
    answer = subprocess.run(
        [str(python), "-c", _ASK, *_PACKAGES],
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(zip(_PACKAGES, answer.stdout.split(), strict=True))
    return {name: version for name, version in found.items() if version != "-"}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
