"""What the attempts of one worker share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dioptra_worker.daemon.health.state import HealthState
from dioptra_worker.settings import Times

if TYPE_CHECKING:
    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.broker.leases import Leases
    from dioptra_worker.common.text.masking import Mask
    from dioptra_worker.daemon.learning.preloading import Preloading
    from dioptra_worker.daemon.record.records import Records
    from dioptra_worker.daemon.staging.snapshot_cache import SnapshotCache
    from dioptra_worker.evidence.signing import Signer
    from dioptra_worker.settings import Settings
    from dioptra_worker.supervision.launcher import Launcher


@dataclass(frozen=True)
class AttemptContext:
    """What attempts share.

    Attributes:
        api: The daemon's session with the REST API.
        launcher: Hands out runners.
        leases: What workers tell each other.
        settings: The daemon's settings.
        mask: Hides secrets in text.
        cache: What was fetched before.
        health: Is told how the daemon is.
        times: What tests have shortened.
        preloading: Learns what jobs wait to have imported; None learns nothing.
        records: Keeps and stores the manifests of jobs; None makes none.
        signer: Signs them; None signs none.
    """

    api: DioptraApi
    launcher: Launcher
    leases: Leases
    settings: Settings
    mask: Mask
    cache: SnapshotCache
    health: HealthState = field(default_factory=HealthState)
    times: Times = field(default_factory=Times)
    preloading: Preloading | None = None
    records: Records | None = None
    signer: Signer | None = None
