"""Whether two evaluations are one, and what differs if they are not."""
