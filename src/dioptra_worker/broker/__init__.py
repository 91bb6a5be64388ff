"""Everything that speaks Redis or RQ: the queue, and what workers tell each other.

For another queue than RQ's, `rq_worker`, `registries`, `entry`, `payload` and
`commands` are replaced, and `dioptra_worker.daemon.daemon` makes the new ones;
`leases`, `parking` and `batch_leases` need Redis only.
"""
