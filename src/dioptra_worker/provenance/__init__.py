"""What made a result: worker runs, their configurations and their surroundings.

A *worker run* is one combination of process (an experiment), worker version (an
entrypoint snapshot), inputs, swaps and configuration. Its id is computed from these
and nothing else, so that it is known before anything runs, and equal combinations have
equal ids on every machine. The daemon writes it on the MLflow run and on the artifacts
of each job. Start reading at `identity`, then `configuration` and `run_tags`.

What one job was run on and gave, file by file, is its `manifest`.
"""

from dioptra_worker.provenance.configuration import (
    BadValue,
    Parameter,
    canonical_text,
    coerce,
    configuration_id,
    deviations,
    differences,
    typed_defaults,
    with_defaults,
)
from dioptra_worker.provenance.identity import RUN_VARIABLE, WorkerRun
from dioptra_worker.provenance.run_tags import (
    DELETED,
    WORKER_RUN_ID,
    Circumstances,
    signature,
    signed,
    tags,
)

__all__ = [
    "DELETED",
    "RUN_VARIABLE",
    "WORKER_RUN_ID",
    "BadValue",
    "Circumstances",
    "Parameter",
    "WorkerRun",
    "canonical_text",
    "coerce",
    "configuration_id",
    "deviations",
    "differences",
    "signature",
    "signed",
    "tags",
    "typed_defaults",
    "with_defaults",
]
