"""A worker daemon for NIST's Dioptra testbed.

Start reading at `cli.start` (the executable ``dioptra-worker-v1``) and follow one job:
`broker.rq.rq_worker` takes it from the queue, `daemon.job.attempt` drives it,
`runner.forkserver` hands out a process for it, `runner.job` runs it with the pure
`engine`, and `daemon.outbox` delivers what it produced to the Dioptra REST API.
ARCHITECTURE.md has the whole.

Imports run one way, and a contract in ``pyproject.toml`` proves it; ``|`` are siblings,
which do not import each other::

    cli | pytest_plugin | batch
    tools
    daemon | runner
    supervision | sdk
    broker | tracking | api
    evidence
    provenance | common
    job_environment
    settings
    credentials
    protocol | engine
    homes | certificates
    errors
"""

__version__ = "0.1.0"
