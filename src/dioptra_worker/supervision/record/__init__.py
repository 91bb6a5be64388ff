"""What is recorded of a job as it goes, for its manifest; for daemon and workbench."""
