"""A daemon is killed around a job's end: receipt and evidence come all the same.

Wherever it is killed, the worker that is started again goes on: what was signed is
stored as it was, or the job is run again and signed then, with both parts of its log.
"""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from tests.plugins.fault_proxy import Rule, fault_proxy, hang
from tests.plugins.people import Person
from tests.plugins.stepwise import StepwiseJob
from tests.plugins.testbed import Platform
from tests.plugins.until import until
from tests.plugins.worker_process import times, worker

from dioptra_worker.evidence import keys
from dioptra_worker.provenance.manifest import EVIDENCE_TAG, RECEIPT_TAG

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.clients import ApiClient, MlflowReader
    from tests.plugins.fault_proxy import FaultProxy
    from tests.plugins.worker_process import WorkerProcess

    from dioptra_worker.tools.local import LocalStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MOMENTS = {
    "running": None,
    "signed": ("DIOPTRA_API", "PUT", "/status$", "finished"),
    "told": ("MLFLOW_S3_ENDPOINT_URL", "PUT", "dioptra/manifest.json", ""),
    "stored": ("MLFLOW_TRACKING_URI", "POST", "/runs/set-tag", EVIDENCE_TAG),
    "compared": ("MLFLOW_TRACKING_URI", "POST", "/runs/set-tag", RECEIPT_TAG),
}
"""What is held when the daemon is killed: variable, method, path and body."""


def _kill(daemon: WorkerProcess) -> None:
    """Kill it and all that it has started, as a machine's end does."""
    os.killpg(daemon.process.pid, signal.SIGKILL)
    daemon.wait()


def _held(proxies: dict[str, FaultProxy], moment: str) -> Rule | None:
    if (held := MOMENTS[moment]) is None:
        return None
    variable, method, path, body = held
    return proxies[variable].add(Rule(method, path, hang, body=body))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_daemon_that_is_killed_has_signed_or_signs_again(
    moment: str,
    stack: LocalStack,
    api: ApiClient,
    mlflow_reader: MlflowReader,
    tmp_path: Path,
) -> None:
    """The receipt is complete; of all that the evidence tells nothing was changed."""
    platform, person = Platform(api), Person(stack.environment(), tmp_path)
    keys.write(keys.generate(), tmp_path / "a.key", tmp_path / "a.pub")
    settings = {
        "DIOPTRA_WORKER_EVIDENCE_KEY_FILE": str(tmp_path / "a.key"),
        **times(records_pace=0.02, retry_pace=0.1),
    }
    environment = dict(stack.environment())
    stepwise = StepwiseJob(platform, tmp_path / "marks")
    job = stepwise.job
    with (
        fault_proxy(environment["DIOPTRA_API"]) as dioptra,
        fault_proxy(environment["MLFLOW_TRACKING_URI"]) as mlflow,
        fault_proxy(environment["MLFLOW_S3_ENDPOINT_URL"]) as store,
    ):
        proxies = {
            "DIOPTRA_API": dioptra,
            "MLFLOW_TRACKING_URI": mlflow,
            "MLFLOW_S3_ENDPOINT_URL": store,
        }
        held = _held(proxies, moment)
        proxied = environment | {name: it.url for name, it in proxies.items()}
        with worker(proxied, tmp_path, platform.queue, settings=settings) as first:
            stepwise.wait_at(0)
            if held is None:
                platform.wait_for_line(job, "line 0")
            else:
                stepwise.go_on()
                until(lambda: held.hits, says=lambda: first.log)
            _kill(first)
        for proxy in proxies.values():
            proxy.clear()
        stepwise.go_on()
        with worker(proxied, tmp_path, platform.queue, settings=settings) as second:
            assert platform.wait(job) == "finished", platform.text(job)
            run = platform.run_id(job)
            until(
                lambda: RECEIPT_TAG in mlflow_reader.tags(run),
                says=lambda: second.log,
            )
            assert mlflow_reader.tags(run)[RECEIPT_TAG] == "complete", second.log
            records = second.work_dir / "records"
            until(lambda: not any(records.iterdir()), says=lambda: second.log)
    assert stepwise.ends == 1
    person.told("jobs", "capsule", job, "-o", tmp_path / "c.zip")
    answer = person.call(
        *("capsule", "verify", tmp_path / "c.zip", "--json"),
        *("--key", tmp_path / "a.pub"),
    )
    found = json.loads(answer.stdout)
    assert (found["verified"], found["changed"]) == (True, []), answer.stderr
    assert len(found["keys"]) == 1
    # What was signed at first is what is there, or else the log has both parts.
    said = [
        line.text for line in platform.log(job) if "was signed: sha256" in line.text
    ]
    assert len(said) == 1
    assert said[0].endswith(mlflow_reader.tags(run)[EVIDENCE_TAG])
    manifest = person.json("capsule", "show", tmp_path / "c.zip", "--json")["manifest"]
    assert manifest["job"]["attempt"] == (2 if held is None else 1)
    assert len(manifest["log"]["segments"]) == (2 if held is None else 1)
