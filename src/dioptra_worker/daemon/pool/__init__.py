"""Several daemons side by side: ``--concurrency``."""
