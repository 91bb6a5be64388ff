"""Measures the weather, and compares what was kept of it."""
