"""Choose and save the artifacts of jobs."""
