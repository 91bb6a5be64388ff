"""Jobs that repeat another one: submitted, and found again by what they say themselves.

That a job is the third repetition of job 42 stands in its description, which the API
takes with the job, in one request. So whoever lost an answer, or was killed before he
could note it, asks the API which there are; a file of our own would not know of the job
that was submitted just before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dioptra_worker.tools.jobs.control.submission import rerun

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dioptra_worker.api.user_client import UserClient

_MARK = re.compile(r"(?:^|; )repetition (\d{1,9}) of job (\d+)(?:, set (\d{1,9}))?$")


@dataclass(frozen=True, kw_only=True)
class Repetitions:
    """A set of repetitions of one job.

    Attributes:
        of: The job that they repeat.
        set: Which set; the first is 1.
        jobs: The jobs by the number of the repetition, from 1, in order.
    """

    of: int
    set: int
    jobs: Mapping[int, int]


def latest_set(client: UserClient, job_id: int) -> Repetitions:
    """The last set of repetitions of a job that somebody has begun.

    A job counts that runs the same snapshot on the same values and inputs, whatever it
    says of itself. Of two with one number, as two who repeat a job at the same time
    make them, the first one counts.

    Args:
        client: The API.
        job_id: The job.

    Raises:
        ServiceError: The API refused, or cannot be asked.
    """
    found: dict[int, dict[int, int]] = {}
    for number, which, body in sorted(
        _marked(client, job_id), key=lambda found: int(found[2]["id"])
    ):
        found.setdefault(which, {}).setdefault(number, int(body["id"]))
    which = max(found, default=1)
    jobs = dict(sorted(found.get(which, {}).items()))
    return Repetitions(of=job_id, set=which, jobs=jobs)


def next_set(latest: Repetitions) -> Repetitions:
    """The set after one, of which there is no job yet; that one if it has none."""
    if not latest.jobs:
        return latest
    return Repetitions(of=latest.of, set=latest.set + 1, jobs={})


def completed(
    client: UserClient, known: Repetitions, *, count: int
) -> Iterator[tuple[int, int]]:
    """Submit those of a set that there are not yet, in order.

    Args:
        client: The API.
        known: Those that there are.
        count: How many the set is to have.

    Yields:
        Each new one's number, and its job, once it is submitted.

    Raises:
        NotNow: The job's queue has been deleted.
        ServiceError: The API refused, or cannot be asked.
    """
    said = client.job(known.of).get("description") or ""
    own_words = _MARK.sub("", said)
    for number in range(1, count + 1):
        if number not in known.jobs:
            mark = f"repetition {number} of job {known.of}"
            if known.set > 1:
                mark += f", set {known.set}"
            words = f"{own_words}; {mark}" if own_words else mark
            yield number, rerun(client, known.of, description=words)


def _marked(
    client: UserClient, job_id: int
) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    """Number, set and job of each repetition, as the API shows it."""
    repeated = _what_is_run(client.job(job_id))
    for body in client.jobs_described(f"*repetition * of job {job_id}*"):
        mark = _MARK.search(body.get("description") or "")
        if (
            mark
            and int(mark[2]) == job_id != body["id"]
            and _what_is_run(body) == repeated
        ):
            yield int(mark[1]), int(mark[3] or 1), body


def _what_is_run(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a job runs, on what."""
    inputs = body.get("artifactValues") or {}
    return {
        "entrypoint": body["entrypoint"]["snapshotId"],
        "values": body["values"],
        "inputs": {name: value["snapshotId"] for name, value in inputs.items()},
        "swaps": {it["swapName"]: it["taskAlias"] for it in body.get("swaps") or ()},
    }
