"""Many jobs at once: copies of one, written into the REST API's database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINKS = ("experiment_jobs", "entry_point_jobs", "queue_jobs")


def copy_job(database: Path, job_id: int, count: int) -> None:
    """Copy a job and its timeline; as if it had been submitted so many times more."""
    with closing(sqlite3.connect(database, timeout=60.0)) as connection, connection:
        copier = _Copier(connection)
        query = "SELECT resource_snapshot_id FROM jobs WHERE resource_id = ?"
        snapshots = [row[0] for row in connection.execute(query, [job_id])]
        for _ in range(count):
            new = copier.free_id()
            copier.copy("resources", "resource_id", job_id, new)
            copier.copy("resource_dependencies", "child_resource_id", job_id, new)
            for table in _LINKS:
                copier.copy(table, "job_resource_id", job_id, new)
            for snapshot in snapshots:
                place = ("resource_snapshot_id", snapshot, copier.free_id())
                copier.copy("resource_snapshots", *place, resource_id=new)
                copier.copy("jobs", *place, resource_id=new)


class _Copier:
    """Copies rows of a database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._last = max(
            connection.execute(
                f"SELECT max({column}) FROM {table}"  # noqa: S608 - names of ours
            ).fetchone()[0]
            for table, column in (
                ("resources", "resource_id"),
                ("resource_snapshots", "resource_snapshot_id"),
            )
        )

    def free_id(self) -> int:
        """An id that no resource and no snapshot has."""
        self._last += 1
        return int(self._last)

    def copy(self, table: str, key: str, old: int, new: int, **changed: int) -> None:
        """Copy the rows of a table that have a key, with another key."""
        changed = {key: new, **changed}
        info = self._connection.execute(f"PRAGMA table_info({table})")
        names = [row[1] for row in info]
        chosen = ", ".join("?" if name in changed else name for name in names)
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(names)})"  # noqa: S608 - the schema's names
            f" SELECT {chosen} FROM {table} WHERE {key} = ?",
            [*(changed[name] for name in names if name in changed), old],
        )
