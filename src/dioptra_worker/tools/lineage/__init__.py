"""Worker runs, seen from outside: found, shown, signed by hand, and deleted.

The daemon stamps what it runs (`dioptra_worker.provenance`); here is what people do
with the stamps. Nothing of it is needed to run a job. Start reading at `runs`.
"""

from dioptra_worker.tools.lineage.errors import LineageError, NoSuchRun, NotYours
from dioptra_worker.tools.lineage.publishing import PersonalRun

__all__ = ["LineageError", "NoSuchRun", "NotYours", "PersonalRun"]
