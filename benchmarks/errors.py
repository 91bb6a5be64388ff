"""What a benchmark cannot go on after."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A benchmark cannot go on; the message says why, and what to do."""
