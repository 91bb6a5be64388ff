"""The guide from a job to a capsule that is verified, replayed and compared."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.acceptance.tutorial_page import blocks, shell
from tests.plugins.cut_off import cut_off
from tests.plugins.until import until
from tests.plugins.worker_process import worker

from dioptra_worker.provenance.manifest import RECEIPT_TAG

if TYPE_CHECKING:
    from tests.plugins.clients import MlflowReader
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/prove-a-result.md"
SOURCE = """
import mlflow
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client


@pyplugs.register
def scale(factor):
    client = get_authenticated_worker_client(LOG, "json")
    client.jobs.append_metric_by_id(
        job_id=os.environ["__JOB_ID"],
        metric_name="scaled",
        metric_value=10 * factor,
    )
    for step in range(3):
        mlflow.log_metric("direct", step * factor, step=step)
    print("scaled by", factor)
    return {"a.csv": f"factor\\n{factor}\\n", "deep/b.txt": "as ever"}
"""


def test_the_page_works(
    stack: LocalStack, platform: Platform, mlflow_reader: MlflowReader, tmp_path: Path
) -> None:
    """Each command does what the page says, and what it shows is what is printed."""
    made, *rest = [it for it in blocks(PAGE) if it.language in {"sh", "text"}]
    environment = {
        **stack.environment(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "DIOPTRA_WORKER_CACHE_DIR": str(tmp_path / "cache"),
    }

    def typed(script: str, *prefix: str) -> str:
        return shell(script, tmp_path, environment, timeout=100, prefix=prefix)

    typed(made.text)
    key = {"DIOPTRA_WORKER_EVIDENCE_KEY_FILE": str(tmp_path / "evidence.key")}
    jobs = []
    with worker(stack.environment(), tmp_path, platform.queue, settings=key):
        entrypoint = platform.entrypoint(
            SOURCE,
            {"scaling": {"scale": ["$factor"]}},
            parameters={"factor": 2.0},
            artifact_outputs={
                "kept": {"contents": "$scaling", "task": {"name": "Folder"}}
            },
        )
        for values in ({}, {"factor": "3.0"}):
            job = platform.submit(entrypoint, values=values)
            assert platform.wait(job) == "finished", platform.text(job)
            run = platform.run_id(job)
            until(lambda: RECEIPT_TAG in mlflow_reader.tags(run))  # noqa: B023
            assert mlflow_reader.tags(run)[RECEIPT_TAG] == "complete"
            jobs.append(job)
    said = ""
    for block in rest:
        text = _renumbered(block.text, jobs)
        if block.language == "text":
            missing = [it for it in text.splitlines() if it not in said.splitlines()]
            assert missing == [], said
        elif "capsule replay" in text:  # of an index nobody knows here
            here = text.replace("replay", "replay --here")
            assert "the results are the same, bit by bit" in typed(here, *cut_off())
        else:
            said = typed(text)
    differing = typed(f"dioptra-worker jobs diff {jobs[0]} {jobs[1]} || test $? = 1")
    assert "parameter factor: 2.0 and 3.0" in differing.splitlines()
    # Replay and repetitions left what they were run on: what the job was run on.
    made_by = next((tmp_path / "mlruns/0").glob("*/artifacts/dioptra/manifest.json"))
    script = f"dioptra-worker jobs diff {jobs[0]} {made_by.parents[2]} || test $? = 1"
    kinds = {line.partition(" ")[0] for line in typed(script).splitlines()}
    assert kinds <= {"determinism", "package"}, kinds  # of a venv of its own
    document = json.loads((tmp_path / f"{jobs[0]}.json").read_text())
    assert f"job/{jobs[0]}/attempt/1" in json.dumps(document)


def _renumbered(text: str, jobs: list[int]) -> str:
    """The page's text with the numbers that its jobs have here."""
    numbers = {"42": str(jobs[0]), "43": str(jobs[1])}
    return re.sub(r"\b4[23]\b", lambda found: numbers[found[0]], text)
