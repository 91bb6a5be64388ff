"""Everything that speaks Redis or RQ: the queue, and what workers tell each other.

For another queue than RQ's, the modules of `broker.rq` are replaced, where
`dioptra_worker.daemon.daemon` and `dioptra_worker.tools.jobs.control` make them; all
others need Redis only.
"""
