"""A worker daemon for NIST's Dioptra testbed.

Start reading at `dioptra_worker.cli.start` (the executable ``dioptra-worker-v1``) and
follow one job: `daemon.worker` takes it from the queue, `daemon.attempt` drives it,
`runner.template` hands out a process for it, `runner.job` runs it with the pure
`engine`, and `daemon.courier` delivers what it produced to the Dioptra REST API.

Imports run one way, and a contract in ``pyproject.toml`` proves it::

    cli -> local, daemon -> runner -> sdk -> tracking, api, engine -> settings, errors
"""

__version__ = "0.1.0"
