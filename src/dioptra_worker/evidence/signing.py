"""Signs what is known of a job when it has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dioptra_worker.evidence import envelope
from dioptra_worker.evidence.predicates import statements_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dioptra_worker.evidence.keys import PrivateKey
    from dioptra_worker.provenance.manifest import Manifest


@dataclass(frozen=True)
class Signer:
    """Has the keys of a worker; none of its jobs' processes may.

    Attributes:
        keys: With each of them everything is signed.
    """

    keys: Sequence[PrivateKey] = field(repr=False)

    def sign(self, manifest: Manifest, data: bytes) -> bytes:
        """The evidence of a job.

        Args:
            manifest: The job's manifest.
            data: Its bytes.

        Returns:
            The bytes of a file of evidence.
        """
        found = statements_of(manifest, data)
        return envelope.write(
            [envelope.signed(one.payload(), self.keys) for one in found]
        )
