"""One job, from its queue entry to its final status."""
