"""Deliver logs, results and status to the REST API, whatever fails."""
