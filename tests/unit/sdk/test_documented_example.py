"""The example on the reference page of the plugin API, executed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dioptra_worker
from dioptra_worker.sdk import compat

SOURCE = Path(dioptra_worker.__file__).resolve().parents[1]
PAGE = SOURCE.parent / "docs" / "reference" / "plugin-api.md"

RUN = """
import os, sys
from pathlib import Path
from dioptra_worker.runner.plugins.bundle import Bundle
from dioptra_worker.sdk.worker import bridge

class Metrics:
    job_id = 7
    seen = []
    def append_metric(self, *metric):
        self.seen.append(metric)

os.environ["__JOB_ID"] = "7"
bridge.install(Metrics())
bundle = Bundle(Path(sys.argv[1]), label="the example")
summary = bundle.function("weather.tasks.summarise")([1.0, 3.0])
assert summary == {"mean": 2.0, "highest": 3.0}
assert Metrics.seen == [("mean", 2.0, None), ("highest", 3.0, None)]
task = bundle.artifact_task("weather", "artifacts", "SummaryTask")
path = task.serialize(Path.cwd(), "summary", summary, indent=2)
assert task.deserialize(Path.cwd(), path.name) == summary
assert task.validation() == {"indent": {"type": "integer"}}
"""


@pytest.mark.process
def test_the_documented_plugin_runs_as_it_is_written(tmp_path: Path) -> None:
    """The two files on the page load, report their metrics and write their artifact."""
    files = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    folder = tmp_path / "bundle" / "weather"
    folder.mkdir(parents=True)
    for name, code in zip(("tasks.py", "artifacts.py"), files[:2], strict=True):
        (folder / name).write_text(code)
    path = os.pathsep.join(map(str, (compat.path(), SOURCE)))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder.parent)],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
