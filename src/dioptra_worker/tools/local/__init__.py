"""The local stack: queue, REST API, MLflow and S3 on one machine.

`LocalStack` is the whole of it; `dioptra-worker local` is its command.
"""

from dioptra_worker.tools.local.errors import (
    ExtraMissing,
    NoStack,
    PeerInstallFailed,
    PortTaken,
    ServiceFailed,
    StackError,
)
from dioptra_worker.tools.local.progress import State, Step
from dioptra_worker.tools.local.rest_api.peer import ensure_peer
from dioptra_worker.tools.local.rest_api.peer_environment import PeerEnvironment
from dioptra_worker.tools.local.services.service import Health, Service
from dioptra_worker.tools.local.stack import LocalStack

__all__ = [
    "ExtraMissing",
    "Health",
    "LocalStack",
    "NoStack",
    "PeerEnvironment",
    "PeerInstallFailed",
    "PortTaken",
    "Service",
    "ServiceFailed",
    "StackError",
    "State",
    "Step",
    "ensure_peer",
]
