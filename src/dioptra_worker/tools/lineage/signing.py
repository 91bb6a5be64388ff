"""A process on a laptop that works as a personal worker run.

What it makes is signed by the run, as what a job makes is by its own: elements are
claimed in the record that all who work on the batch share; metrics and artifacts are
those of the run.
"""

from __future__ import annotations

import logging
import queue
import secrets
from typing import TYPE_CHECKING, cast

from dioptra_worker.broker.batch_leases import ElementLeases
from dioptra_worker.broker.connection import connect
from dioptra_worker.common.network.outage_log import OutageLog
from dioptra_worker.daemon.job.running.batch_claims import BatchClaims
from dioptra_worker.errors import SettingsError
from dioptra_worker.protocol.messages import BatchClaimReply, BatchClaimRequest
from dioptra_worker.provenance import RUN_VARIABLE, typed_defaults, with_defaults
from dioptra_worker.sdk.worker.bridge import JobContext, Session
from dioptra_worker.settings import secret
from dioptra_worker.tools.lineage.connections import BROKER, open_runs
from dioptra_worker.tools.lineage.personal_runs import PersonalRuns
from dioptra_worker.tools.resources.account import Account

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.protocol.messages import BatchElementState
    from dioptra_worker.tools.lineage.runs import FoundRun

log = logging.getLogger("dioptra_worker.lineage")


class Signer:
    """The bridge of a process that no daemon runs; see `open_signer`.

    Attributes:
        job_id: The job that stands for the worker run.
        context: The worker run's parameters, and its id.
    """

    def __init__(
        self,
        account: Account,
        api: DioptraApi,
        personal: PersonalRuns,
        found: FoundRun,
        *,
        broker: str,
    ) -> None:
        """Read what the worker run is; see `open_signer`."""
        self._account = account
        self._api = api
        self._personal = personal
        self._found = found
        self._broker = broker
        self.job_id = found.latest.job_id
        job = api.job(self.job_id)
        defaults = typed_defaults(api.declared_parameters(job))
        self.context = JobContext(
            parameters=with_defaults(api.parameters(self.job_id), defaults),
            defaults=defaults,
            worker_run=found.id,
        )
        self._claims: BatchClaims | None = None
        self._answers: queue.SimpleQueue[BatchClaimReply] = queue.SimpleQueue()

    def set_element_state(
        self, element: str, state: str, *, error: str = "", last: bool = False
    ) -> str:
        """Claim an element, or say what became of it; waits while Redis is away."""
        request = BatchClaimRequest(
            request_id=0,
            element=element,
            state=cast("BatchElementState", state),
            error=error,
            last=last,
        )
        return self.claim(request).outcome

    def claim(self, request: BatchClaimRequest) -> BatchClaimReply:
        """Answer what a run without a server asks about an element."""
        if not self._broker:
            return BatchClaimReply(request_id=request.request_id, outcome="off")
        self._open_claims().ask(request)
        return self._answers.get()

    def append_metric(self, name: str, value: float, step: int | None) -> None:
        """Publish a metric."""
        self._personal.metric(self._found, name, value, step or 0)

    def publish(self, path: Path, name: str | None = None) -> int:
        """Publish a file or folder; the artifact's id.

        Raises:
            LineageError: There is nothing at *path*.
            ServiceError: The API or the store refused, or does not answer.
        """
        return self._personal.publish(self._found, path, name=name)

    def session(self) -> Session:
        """The person's session with the API."""
        return Session(url=self._account.url, cookies=self._api.cookies(renew=False))

    def renew(self) -> Session:
        """A new one."""
        return Session(url=self._account.url, cookies=self._api.cookies(renew=True))

    def close(self, reason: str = "its process ended") -> None:
        """Let go of the elements that are still claimed."""
        if self._claims is not None:
            self._claims.close(reason)
            self._claims = None

    def _open_claims(self) -> BatchClaims:
        if self._claims is None:
            connection = connect(self._broker)
            self._claims = BatchClaims(
                ElementLeases(connection, self._found.id),
                # Not the job's: every process of the person's is another claimant.
                job=-secrets.randbelow(2**31) - 1,
                token=secrets.token_hex(16),
                answer=self._answers.put,
                outages=OutageLog(),
            )
        return self._claims


def open_signer(environment: Mapping[str, str], name: str | None = None) -> Signer:
    """Open the caller's own worker run to work in its name.

    Args:
        environment: Where the account, ``MLFLOW_TRACKING_URI``, ``RQ_REDIS_URI`` and
            ``DIOPTRA_WORKER_RUN_ID`` are. Without Redis no element is recorded.
        name: The worker run's id, instead of that variable.

    Raises:
        SettingsError: A variable is missing.
        NoSuchRun: There is no such worker run.
        NotYours: It belongs to somebody else.
        ServiceError: The API or MLflow refused, or does not answer.
    """
    account = Account.of_person(environment)
    api = account.session()
    personal = PersonalRuns(api, open_runs(environment))
    wanted = name or environment.get(RUN_VARIABLE)
    if not wanted:
        raise SettingsError([f"{RUN_VARIABLE} is missing: the id of your worker run"])
    found = personal.mine(wanted)
    broker = secret(BROKER, environment) or ""
    if not broker:
        log.warning("%s is not set, so no activity is recorded", BROKER)
    else:  # a Redis that is away or refuses is better said now
        with connect(broker) as connection:
            next(iter(ElementLeases(connection, found.id).records()), None)
    return Signer(account, api, personal, found, broker=broker)


def publish_results(
    signer: Signer,
    *,
    artifacts: Mapping[str, Path],
    metrics: Mapping[str, tuple[float, int]],
) -> dict[str, int]:
    """Publish what a run without a server has made.

    Args:
        signer: In whose name.
        artifacts: Files and folders by the artifacts' names.
        metrics: Values and steps by the metrics' names.

    Returns:
        The artifacts' ids, by their names.

    Raises:
        ServiceError: The API or the store refused, or does not answer.
    """
    for name, (value, step) in metrics.items():
        signer.append_metric(name, value, step)
    return {name: signer.publish(path, name) for name, path in artifacts.items()}
