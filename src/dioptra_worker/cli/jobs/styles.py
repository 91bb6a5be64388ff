"""Marks and colours; click leaves the colours out where no terminal is."""

from __future__ import annotations

MARKS = {
    "queued": "·",
    "deferred": "·",
    "started": "▸",
    "finished": "✓",
    "failed": "✗",
}
COLOURS = {"started": "cyan", "finished": "green", "failed": "red"}
SEVERITY_COLOURS = {
    "DEBUG": "bright_black",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "red",
}
ALIASES = {"running": "started", "success": "finished", "failure": "failed"}
"""What others call them; both are understood."""
