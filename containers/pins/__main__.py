"""Writes the pins of the images: each package with the hashes of its files.

What is built from them is what was looked at. Versions are those of
containers/constraints.txt, and no address of an index is written. `make pins` calls::

    python -m containers.pins PATH_OF_UV
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
EXTRAS = (
    *("--extra", "mlflow", "--extra", "examples", "--extra", "system-metrics"),
    "pyproject.toml",
)
SETS = {
    "build": (("-",), "hatchling"),
    "base": (("pyproject.toml",), ""),
    "worker": (EXTRAS, ""),
    "tensorflow-cpu": (
        (*EXTRAS, "-"),
        (
            'tensorflow-cpu ; platform_machine == "x86_64"'
            '\ntensorflow ; platform_machine != "x86_64"'
        ),
    ),
    "tensorflow-gpu": ((*EXTRAS, "-"), "tensorflow[and-cuda]"),
    "pytorch-gpu": ((*EXTRAS, "-"), "torch\ntorchvision"),
}
"""By file: what is resolved, and requirements besides those of pyproject.toml."""


def main(uv: str) -> None:
    """Resolve every set; those of frameworks hold what `worker` has not."""
    worker: set[str] = set()
    for name, (sources, requirements) in SETS.items():
        resolved = subprocess.run(
            [
                *(uv, "pip", "compile", "--quiet", "--no-config", "--universal"),
                *("--generate-hashes", "--python-version", "3.11", "--no-header"),
                *("--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
                *("--constraint", "containers/constraints.txt", *sources),
            ],
            cwd=ROOT,
            input=requirements,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        pins = re.findall(r"^\S.*\n(?: .*\n)*", resolved, re.MULTILINE)
        if name == "worker":
            worker = {*pins}
        elif EXTRAS[0] in sources:
            pins = [pin for pin in pins if pin not in worker]
        (FOLDER / f"{name}.txt").write_text("".join(pins), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
