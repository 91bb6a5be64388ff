"""Processes that do one thing for the daemon, without a job, and end."""
