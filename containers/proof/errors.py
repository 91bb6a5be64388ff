"""What may go wrong in a proof."""

from __future__ import annotations


class ProofError(Exception):
    """Something that was to be proven does not hold, or could not be tried."""
