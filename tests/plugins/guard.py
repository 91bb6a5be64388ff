"""Takes a stack down when the test session that owns it was killed.

Usage: guard.py FOLDER CACHE PID BIRTH
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from dioptra_worker.common.processes.process_identity import ProcessId
from dioptra_worker.tools.local import LocalStack, NoStack


def main() -> None:
    """Wait for the session to end; then end what it left."""
    folder, cache, pid, birth = sys.argv[1:]
    session = ProcessId(int(pid), birth)
    while session.is_alive():
        if not Path(folder).exists():
            return
        time.sleep(0.5)
    try:
        LocalStack.attach(Path(folder), cache=Path(cache)).down()
    except NoStack:
        return


if __name__ == "__main__":
    main()
