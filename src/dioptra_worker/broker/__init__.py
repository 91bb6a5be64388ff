"""The queue broker: everything that speaks Redis or RQ."""
