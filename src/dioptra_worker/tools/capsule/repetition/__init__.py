"""A job run again and again: how far its results lie apart, and why."""
