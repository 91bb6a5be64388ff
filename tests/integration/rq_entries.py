"""Queue entries as several versions of RQ write them, and how to write them down anew.

Only one version can be installed beside the worker. Give interpreters that have one
version each::

    python -m tests.integration.rq_entries .venv/bin/python /tmp/rq-1.16/bin/python
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.plugins.valkey import valkey

from dioptra_worker.broker.connection import connect
from dioptra_worker.broker.rq.payload import FUNCTION

KEPT = Path(__file__).with_suffix(".json")
JOB, EXPERIMENT, LIMIT = 7, 3, "1h"

_ENQUEUE = f"""
import sys, importlib.metadata, redis
from rq import Queue
connection = redis.Redis.from_url(sys.argv[1])
Queue("q", connection=connection).enqueue(
    {FUNCTION!r},
    kwargs={{"job_id": {JOB}, "experiment_id": {EXPERIMENT}}},
    job_id={str(JOB)!r},
    job_timeout={LIMIT!r},
)
print(importlib.metadata.version("rq"))
"""


def entries() -> dict[str, dict[str, bytes]]:
    """The fields of an entry by the version that wrote it."""
    kept: dict[str, dict[str, str]] = json.loads(KEPT.read_text())
    return {
        version: {name: base64.b64decode(value) for name, value in fields.items()}
        for version, fields in kept.items()
    }


def _write(python: str) -> tuple[str, dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as port:
        url = f"redis://127.0.0.1:{port}"
        done = subprocess.run(
            [python, "-c", _ENQUEUE, url], capture_output=True, text=True, check=True
        )
        with connect(url) as client:
            assert client.lrange("rq:queue:q", 0, -1) == [str(JOB).encode()]
            fields = client.hgetall(f"rq:job:{JOB}")
    values = {
        name.decode(): base64.b64encode(it).decode() for name, it in fields.items()
    }
    return done.stdout.strip(), values


def main() -> None:
    """Write the file anew."""
    found = dict(sorted(_write(python) for python in sys.argv[1:]))
    KEPT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
