"""Artifacts of any size; their tasks note when they are called."""
