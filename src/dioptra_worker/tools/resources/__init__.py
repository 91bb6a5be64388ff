"""Resources and jobs, as people and their tools handle them: import, submit, read.

One implementation for the ``import`` and ``demo`` commands and for the tests. Start
reading at `folders` and `importing`, then `submitting` and `results`.
"""

from dioptra_worker.tools.resources.errors import (
    BadResources,
    NoResources,
    ResourceError,
    StillRunning,
    Unknown,
)
from dioptra_worker.tools.resources.folders import ResourceFolder, find_folders
from dioptra_worker.tools.resources.importing import Imported, Strategy, import_folder
from dioptra_worker.tools.resources.results import JobResult, read_result
from dioptra_worker.tools.resources.submitting import Submission, submit, wait

__all__ = [
    "BadResources",
    "Imported",
    "JobResult",
    "NoResources",
    "ResourceError",
    "ResourceFolder",
    "StillRunning",
    "Strategy",
    "Submission",
    "Unknown",
    "find_folders",
    "import_folder",
    "read_result",
    "submit",
    "wait",
]
