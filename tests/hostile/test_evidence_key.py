"""The key that a worker signs with is out of a job's reach, or the evidence says so.

Attack: a plugin looks for the key in its environment and in those of all processes, in
the worker's memory, in its own descriptors and its parent's, and in the file that the
worker reads it from; the memory of all that the worker has started is searched, too.
Promise: nobody but the daemon has it. Where jobs have users of their own, nothing that
a plugin tries gives it anything, and the evidence says `isolated`; where they share the
worker's user, which can read that user's files, it says `self-attested`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins import open_home
from tests.plugins.until import until
from tests.plugins.worker_process import worker

from dioptra_worker.evidence import keys
from dioptra_worker.evidence.predicates import ISOLATED, SELF_ATTESTED
from dioptra_worker.provenance.manifest import EVIDENCE_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client
    from tests.plugins.clients import MlflowReader
    from tests.plugins.testbed import Platform
    from tests.plugins.worker_process import WorkerProcess

    from dioptra_worker.tools.local import LocalStack

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="only root on Linux can give jobs users of their own, and look into them",
)

SOURCE = """
import json


@pyplugs.register
def search(file, daemon, go):
    def tried(action):
        try:
            return action()
        except OSError as error:
            return type(error).__name__

    def named(environment):
        return sorted(it for it in environment if "EVIDENCE" in it)

    found = {"own environment": named(os.environ)}
    for name in ("environ", "mem", "maps", "fd"):
        path = Path(f"/proc/{daemon}", name)
        read = (lambda: os.listdir(path)) if name == "fd" else (
            lambda: path.open("rb").read(1) and "read"
        )
        found[name] = tried(read)
    others = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        text = tried(path.read_bytes)
        if isinstance(text, bytes) and b"EVIDENCE_KEY" in text:
            others.append(str(path))
    found["other environments"] = others
    links = []
    for folder in ("/proc/self/fd", f"/proc/{os.getppid()}/fd"):
        for each in Path(folder).iterdir() if os.access(folder, os.R_OK) else ():
            links.append(str(tried(lambda: os.readlink(each))))
    found["descriptors"] = [it for it in links if "evidence" in it]
    found["file"] = tried(lambda: Path(file).read_text() and "read")
    print("FOUND", json.dumps(found), "END")
    sys.stdout.flush()
    while not Path(go).exists():
        time.sleep(0.02)
    return {"a.txt": "kept"}
"""


@contextmanager
def _worker(
    stack: LocalStack, platform: Platform, *, users: str
) -> Iterator[tuple[WorkerProcess, Path]]:
    """A worker with a key, in a folder that others may enter."""
    prefix = open_home.prefix()
    if isinstance(prefix, str):
        pytest.skip(prefix)
    folder = Path(tempfile.mkdtemp(prefix="dioptra-worker-test-"))
    folder.chmod(0o755)
    keys.write(keys.generate(), folder / "evidence.key", folder / "evidence.pub")
    settings = {
        "DIOPTRA_WORKER_EVIDENCE_KEY_FILE": str(folder / "evidence.key"),
        "DIOPTRA_WORKER_JOB_USERS": users,
    }
    try:
        with worker(
            stack.environment(),
            folder,
            platform.queue,
            settings=settings,
            prefix=prefix,
        ) as running:
            yield running, folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("users", ["70000", "none"])
def test_a_job_does_not_get_the_key(
    stack: LocalStack,
    platform: Platform,
    mlflow_reader: MlflowReader,
    s3: S3Client,
    users: str,
) -> None:
    """No process but the daemon has it; the evidence says whether it could be had."""
    with _worker(stack, platform, users=users) as (running, folder):
        key = (folder / "evidence.key").read_text()
        arguments = [
            str(folder / "evidence.key"),
            running.process.pid,
            str(folder / "go"),
        ]
        job = platform.submit(
            platform.entrypoint(
                SOURCE,
                {"searching": {"search": arguments}},
                artifact_outputs={
                    "kept": {"contents": "$searching", "task": {"name": "Folder"}}
                },
            )
        )
        platform.wait_for_line(job, "FOUND")
        body = key.splitlines()[1].encode()
        holding = {pid for pid in running.descendants() if _holds(pid, body)}
        # A child that the daemon is starting right now is the daemon until its exec.
        until(
            lambda: not any(_holds(pid, body) for pid in holding),
            seconds=5,
            says=lambda: f"they have it: {[_command(pid) for pid in holding]}",
        )
        (folder / "go").touch()
        assert platform.wait(job) == "finished", platform.text(job)
        run = platform.run_id(job)
        until(lambda: EVIDENCE_TAG in mlflow_reader.tags(run))
        text = platform.text(job)
        assert body.decode() not in text + running.log
        found = _said(text)
        assert found["own environment"] == []
        assert found["descriptors"] == []
        if users == "none":  # root reads whatever it likes, and so it is told
            assert found["file"] == "read"
        else:
            refused = {found[name] for name in ("environ", "mem", "maps", "fd", "file")}
            assert refused == {"PermissionError"}
            assert found["other environments"] == []
        evidence = folder / "42.dsse"
        uri = mlflow_reader.run(run)["info"]["artifact_uri"]
        bucket, _, path = uri.removeprefix("s3://").partition("/")
        s3.download_file(bucket, f"{path}/dioptra/evidence.dsse", str(evidence))
        program = Path(sys.executable).with_name("dioptra-worker")
        options = ["--key", str(folder / "evidence.pub"), "--json"]
        said = subprocess.run(
            [program, "evidence", "verify", evidence, *options],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        digest = json.loads(said)["sha256"]
        assert mlflow_reader.tags(run)[EVIDENCE_TAG] == digest
        *_, before, last = text.strip().splitlines()
        assert before.endswith(f"evidence of this job was signed: sha256:{digest}")
        assert last.endswith("the job finished")
        shown = subprocess.run(
            [program, "evidence", "show", evidence, "--json"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        _, evaluation = json.loads(shown)["statements"]
        expected = SELF_ATTESTED if users == "none" else ISOLATED
        assert evaluation["predicate"]["attestation"] == expected
        assert "kept/" in " ".join(json.loads(shown)["subjects"])


def _said(text: str) -> Any:
    found = re.search(r"FOUND (.*) END", text)
    assert found, text
    return json.loads(found[1])


def _command(pid: int) -> str:
    """The command line of a process that may have ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return f"{pid}, which has ended"


def _holds(pid: int, needle: bytes) -> bool:
    """Whether some bytes are in the memory of a process."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
        with Path(f"/proc/{pid}/mem").open("rb") as memory:
            for line in maps.splitlines():
                span, rights, *_ = line.split()
                begin, end = (int(each, 16) for each in span.split("-"))
                if rights.startswith("rw") and end - begin < 1 << 30:
                    memory.seek(begin)
                    if needle in memory.read(end - begin):
                        return True
    except OSError:
        return False
    return False
