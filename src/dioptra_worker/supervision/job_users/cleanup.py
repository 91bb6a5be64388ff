"""Removes what a job's user has left in the system, as that user.

A program of its own: the system lets nobody else remove some of it, and there is no way
back from being another user.
"""

from __future__ import annotations

import sys

from dioptra_worker.common.processes.ipc_objects import remove_ipc_objects
from dioptra_worker.common.processes.job_user import JobUser, become

if __name__ == "__main__":
    become(JobUser.parse(sys.argv[1]))
    remove_ipc_objects(())
