"""Tries out all that a worker needs, before a job finds out.

Each module of `checks` checks one thing with a round trip, not a ping, and is a
generator of findings: `examination` gives it a thread and a time limit.
`dioptra-worker doctor` runs all of them, `brief` the few that a daemon can afford at
its start.
"""

from dioptra_worker.tools.doctor.all_checks import all_checks, brief
from dioptra_worker.tools.doctor.examination import Check, examine
from dioptra_worker.tools.doctor.finding import Finding, Result

__all__ = [
    "Check",
    "Finding",
    "Result",
    "all_checks",
    "brief",
    "examine",
]
