"""Why evidence can be neither made nor read."""

from __future__ import annotations

from dioptra_worker.errors import WorkerError


class EvidenceError(WorkerError):
    """What has to do with evidence is not as it must be; the message says what."""


class KeyUnusable(EvidenceError):
    """A key cannot be read, written or used."""


class NotEvidence(EvidenceError):
    """A file is no evidence as a worker writes it."""
