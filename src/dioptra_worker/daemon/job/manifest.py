"""Makes the manifest of an attempt: what its plan says, and what came of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dioptra_worker import __version__
from dioptra_worker.provenance.chain import digest
from dioptra_worker.provenance.manifest import (
    EntrypointFacts,
    PlatformFacts,
    WorkerFacts,
    WorkerRunFacts,
)
from dioptra_worker.supervision.record.chains import log_facts
from dioptra_worker.supervision.record.job_record import InputSnapshot, Planned
from dioptra_worker.supervision.record.plan_facts import digests_of, plan_facts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from dioptra_worker.api.models import ArtifactParameter, Job
    from dioptra_worker.broker.records import PendingStatus
    from dioptra_worker.broker.rq.payload import JobRequest
    from dioptra_worker.daemon.job.context import AttemptContext
    from dioptra_worker.protocol.messages import Plan
    from dioptra_worker.provenance import Parameter
    from dioptra_worker.provenance.manifest import LogSegment
    from dioptra_worker.supervision.record.chains import LogChain
    from dioptra_worker.supervision.record.job_record import JobRecord

log = logging.getLogger("dioptra_worker.manifest")


class Sealing:
    """Makes an attempt's manifest of what was recorded; nothing here fails a job.

    Attributes:
        record: What was recorded.
    """

    def __init__(
        self,
        request: JobRequest,
        context: AttemptContext,
        record: JobRecord,
        chain: LogChain,
    ) -> None:
        """Prepare.

        Args:
            request: The job.
            context: What attempts share.
            record: What is recorded of it.
            chain: That of its log.
        """
        self.record = record
        self._request = request
        self._context = context
        self._chain = chain
        self._kept: Path | None = None
        self._segments: tuple[LogSegment, ...] = ()

    def close_log(self) -> None:
        """What the manifest says of the job's log ends here."""
        self._segments = self._chain.segments()

    def seal(self, end: PendingStatus) -> str:
        """Make the manifest, sign it and keep it, before the job's end is told.

        Args:
            end: How the job ended.

        Returns:
            What the job's log is to say of it; empty for nothing.
        """
        records, context = self._context.records, self._context
        if records is None or not self.record.run.id:
            return ""  # there is nothing of MLflow's that it could be beside
        if self._kept is not None:  # the job has another end now
            self._kept.unlink(missing_ok=True)
        try:
            manifest = self.record.manifest(
                job_id=self._request.job_id,
                experiment=self._request.experiment_id,
                attempt=self._request.attempt,
                status=end.status,
                cause=end.reason,
                log=log_facts(self._segments),
                worker=WorkerFacts(
                    name=self._request.worker,
                    version=__version__,
                    image=context.settings.image,
                    revision=context.settings.revision,
                    separation=context.launcher.job_user is not None,
                ),
            )
            data = manifest.to_bytes()
            signer = context.signer
            evidence = b"" if signer is None else signer.sign(manifest, data)
            self._kept = records.keep(
                self._request.job_id,
                end=end.line.partition(" ")[0],
                manifest=data,
                evidence=evidence,
                said_after=1 if evidence else 0,
            )
        except Exception:
            log.warning("job %d has no manifest", self._request.job_id, exc_info=True)
            return ""
        if not evidence:
            return ""
        return f"evidence of this job was signed: sha256:{digest(evidence)}"

    def store(self) -> None:
        """Have it stored: the job's end is told."""
        if self._kept is not None and self._context.records is not None:
            self._context.records.store(self._kept)


def note_plan(
    record: JobRecord,
    job: Job,
    plan: Plan,
    *,
    inputs: Sequence[ArtifactParameter],
    declared: Sequence[Parameter],
    digests: Mapping[Path, str],
    data: Collection[str],
    platform: str,
) -> None:
    """Note what a job is given, before it can reach it; nothing here fails a job.

    Args:
        record: Where.
        job: The job.
        plan: Its plan; the folders that it names are filled.
        inputs: The artifacts that it reads.
        declared: The parameters that its entrypoint declares.
        digests: The SHA-256 of files of inputs, as far as it is known.
        data: The parameters that say what to work on.
        platform: The platform's version.
    """
    try:
        run = job.worker_run(plan.parameters, plan.defaults, data=data)
        record.planned = Planned(
            plan=plan,
            digests=digests_of(plan, known=digests),
            facts=plan_facts(plan, declared, inputs=job.inputs, swaps=job.swaps),
            entrypoint=EntrypointFacts(
                id=job.entrypoint_id,
                snapshot=job.entrypoint_snapshot_id,
                name=job.entrypoint_name,
            ),
            group=job.group_id,
            queue=job.queue,
            user=job.user,
            submitted=job.created,
            worker_run=WorkerRunFacts(id=run.id, document=run.document()),
            platform=PlatformFacts(version=platform),
            snapshots={
                item.name: InputSnapshot(
                    artifact=item.artifact_id,
                    snapshot=item.artifact_snapshot_id,
                    uri=item.uri,
                    plugin_snapshot=item.plugin_snapshot_id,
                )
                for item in inputs
            },
        )
    except Exception:
        log.warning("job %d: its manifest lacks its plan", job.id, exc_info=True)
