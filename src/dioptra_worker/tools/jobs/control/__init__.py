"""Submit, cancel and requeue jobs."""
