"""Load plugin code."""
