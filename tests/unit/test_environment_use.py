"""Who reads the environment: the settings, and a few others for a reason."""

from __future__ import annotations

import ast
from pathlib import Path

import dioptra_worker

SOURCE = Path(dioptra_worker.__file__).parent

ALLOWED = {
    "settings.py": "it is what reads the environment",
    "batch/elements.py": "a worker on a laptop finds its elements by its contract",
    "batch/base.py": "on a laptop a variable names the run that signs, by its contract",
    "common/environment.py": "some things can be told by the environment only",
    "cli/capsule/replay.py": "it hands its environment on to the run",
    "cli/capsule/common.py": "it hands its environment on to the runs",
    "cli/certificates.py": "MLflow and boto3 have switches that turn checks off",
    "cli/job_users.py": "it tries jobs' users with the environment of runners",
    "cli/pool.py": "it hands the worker's environment on to its slots",
    "cli/doctor.py": "it hands the environment on to checks, with runners' defaults",
    "cli/jobs/common.py": "a person's account, which is no setting of the daemon",
    "cli/workers/list_.py": "the queues' address, which is no setting of the daemon",
    "cli/import_.py": "a client's account, which is no setting of the daemon",
    "tools/doctor/checks/disk.py": "TMPDIR is a setting of Python's",
    "cli/run.py": "it hands its environment on to runs, and what they ask for",
    "cli/terminal.py": "it looks for secrets, which no command prints",
    "cli/serving.py": "it hands the daemon's environment on to runners",
    "cli/start.py": "it names the file of the key that signs, which is looked at",
    "tools/local/environment.py": "its services inherit PATH, HOME and others",
    "tools/local/paths.py": "the XDG variables say where a home's folders are",
    "tools/local/services/servers/serve_api.py": "the stack's key is a variable there",
    "tools/local/services/servers/serve_mlflow.py": "it sets MLflow's",
    "pytest_plugin.py": "it hands its environment on to runs, and what they ask for",
    "runner/forkserver/children/child_setup.py": "a runner sees its slot's GPUs",
    "runner/forkserver/home.py": "no home but its own is to be read",
    "runner/forkserver/learned.py": "what it imports is to have a home of its own",
    "runner/forkserver/main.py": "no home but its own is to be read",
    "runner/forkserver/remembered.py": "an import's home and folder become the job's",
    "runner/forkserver/standby.py": "it looks for modules where its fork server does",
    "runner/facts.py": "it tells which variables rule threads and frameworks",
    "runner/learned/folders.py": "an import's home becomes the job's",
    "runner/learned/modules.py": "an import may depend on what a job has set there",
    "runner/learned/process_state.py": "what an import sets is seen, and set again",
    "runner/learned/watched_import.py": "what an import reads and sets there is noted",
    "runner/late_variables.py": "it sees what plugins set there",
    "runner/main.py": "it sets what plugins read, such as __JOB_ID",
    "runner/withheld_variables.py": "it sees what plugins look for there",
    "sdk/auth_client.py": "plugins log in with these by the platform's contract",
    "sdk/client/client.py": "plugins find the API with it by the platform's contract",
    "sdk/worker/spawned_children.py": "a task's children find the worker by it",
    "tracking/artifact_store.py": "it keeps the operator's, which tasks may change",
    "tracking/s3/upload.py": "it keeps the operator's, which tasks may change",
    "tracking/mlflow/active_run.py": "a task's children find the run by its variable",
    "tracking/mlflow/run.py": "MLflow would go on with a run that its variable names",
    "tracking/store_address.py": "MLflow's own variable says which hosts are believed",
    "tracking/s3/client.py": "it reads what MLflow's own S3 store reads",
}
"""File and reason."""


def _uses_environment(file: Path) -> bool:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            named = node.value.id == "os"
            if named and node.attr in {"environ", "environb", "getenv", "putenv"}:
                return True
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            names = {alias.name for alias in node.names}
            if names & {"environ", "environb", "getenv", "putenv"}:
                return True
    return False


def test_only_these_use_the_environment() -> None:
    """Whatever else needs a setting takes it as an argument; the list is no longer."""
    users = {
        str(file.relative_to(SOURCE))
        for file in SOURCE.rglob("*.py")
        if _uses_environment(file)
    }
    assert users == set(ALLOWED)
