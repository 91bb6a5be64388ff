"""What is kept of a job for its manifest and its receipt, until both are stored."""
