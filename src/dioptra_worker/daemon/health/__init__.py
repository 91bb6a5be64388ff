"""Liveness, readiness and metrics of the daemon."""
