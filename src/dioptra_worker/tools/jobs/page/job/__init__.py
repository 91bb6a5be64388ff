"""The page of one job: its lead, its log, its metrics, what its artifacts hold."""
