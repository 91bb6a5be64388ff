"""MLflow: the run of a job, and artifacts that only its client can fetch."""
