"""Whatever lies in the folder where somebody starts a run is not imported for it.

A job, or an innocent author, leaves a `random.py` or `requests.py` where a worker is
started; the fork server must import the real ones. A `helpers.py` that lies there and
not in the bundle must be missed here as the platform would miss it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "entrypoints/hello-world"
NAMES = ("random", "requests", "mlflow", "jmespath", "yaml", "logging", "json")


def _run(folder: Path, cwd: Path, isolation: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("dioptra-worker")
    return subprocess.run(
        [str(program), "run", str(folder), "--isolation", isolation],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_modules_in_the_current_folder_are_not_imported(
    isolation: str, tmp_path: Path
) -> None:
    """A run succeeds among files named like modules, none of which is executed."""
    for name in NAMES:
        mark = f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r})"
        (tmp_path / f"{name}.py").write_text(f"{mark}\nraise OSError\n")
    done = _run(EXAMPLE, tmp_path, isolation)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "executed").exists()


def test_a_module_beside_the_run_is_missed(tmp_path: Path) -> None:
    """What the bundle lacks is missing, although it lies in the current folder."""
    folder = tmp_path / "entrypoint"
    shutil.copytree(EXAMPLE, folder)
    (plugin,) = (folder / "plugins").glob("*/tasks.py")
    plugin.write_text("import helpers_of_mine\n" + plugin.read_text())
    (tmp_path / "helpers_of_mine.py").write_text("")
    done = _run(folder, tmp_path, "fork")
    assert done.returncode == 1
    assert "helpers_of_mine" in done.stdout + done.stderr
