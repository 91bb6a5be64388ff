"""Fetch RQ's record of a queue entry, which may be as large as somebody likes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from rq.exceptions import NoSuchJobError
from rq.job import Job

from dioptra_worker.broker.rq.payload import PlainSerializer
from dioptra_worker.broker.rq.plain_pickle import MAX_PICKLE_BYTES
from dioptra_worker.engine.wording import format_exception

if TYPE_CHECKING:
    import redis

MAX_FIELD_BYTES = 1 << 14
"""Bytes of a field but the data; RQ's have some ten, a description some hundred."""

FIELDS = (
    *("data", "created_at", "origin", "worker_name", "description", "enqueued_at"),
    *("started_at", "ended_at", "last_heartbeat", "group_id", "timeout", "result_ttl"),
    *("failure_ttl", "status", "dependency_ids", "dependency_id", "ttl"),
    *("allow_dependency_failures", "enqueue_at_front", "number_of_retries"),
    *("retries_left", "retry_intervals", "enqueue_at_front_on_retry", "repeats_left"),
    *("repeat_intervals", "rate_limit_key", "rate_limit_concurrency"),
)
"""What we need of a record. What RQ would decode besides (results, tracebacks, what
somebody attached) and the names of functions to be called stay where they are."""

# In one step, so that no field grows between the look at its size and at its value. The
# answer is a field that is too large and its size, or nothing and all that is there.
_READ = f"""
local found = {{}}
for _, field in ipairs({{{", ".join(map(repr, FIELDS))}}}) do
  local size = redis.call('HSTRLEN', KEYS[1], field)
  local limit = field == 'data' and {MAX_PICKLE_BYTES} or {MAX_FIELD_BYTES}
  if size > limit then return {{field, size}} end
  if size > 0 then
    table.insert(found, field)
    table.insert(found, redis.call('HGET', KEYS[1], field))
  end
end
return {{'', found}}
"""


class DamagedEntry(ValueError):
    """A record has a field that no enqueued job has."""


class OversizedEntry(ValueError):
    """A record has a field that is larger than any of RQ's."""


class Entries:
    """Fetches the records of queue entries."""

    def __init__(self, connection: redis.Redis) -> None:
        """Prepare.

        Args:
            connection: To Redis.
        """
        self._redis = connection
        self._read = connection.register_script(_READ)

    def fetch(self, job_id: str) -> Job:
        """Fetch the record of an entry, once all its fields are known to be small.

        Args:
            job_id: RQ's id of it.

        Raises:
            OversizedEntry: If a field is too large, or would be when it is unpacked.
            DamagedEntry: If a field cannot be read.
            NoSuchJobError: If there is no record.
        """
        key = Job.key_for(job_id)
        oversized, found = self._read(keys=[key])
        if oversized:
            raise OversizedEntry(f"its {oversized.decode()} has {found:,} bytes")
        if not found:
            raise NoSuchJobError(f"there is no record {key!r}")
        raw = dict(zip(found[::2], found[1::2], strict=True))
        _check_unpacked(raw.get(b"data", b""))
        return _restored(job_id, self._redis, raw)


def _restored(
    job_id: str, connection: redis.Redis, raw: dict[bytes, bytes | str]
) -> Job:
    """RQ's record, made of its fields.

    Raises:
        DamagedEntry: A field cannot be read; RQ itself does not say which.
    """
    if b"timeout" in raw:  # which RQ reads as text, with its own words for what is odd
        raw[b"timeout"] = str(raw[b"timeout"], "ascii", "replace")  # type: ignore[arg-type]

    def restore(fields: dict[bytes, bytes | str]) -> Job:
        job = Job(job_id, connection=connection, serializer=PlainSerializer)
        job.restore(fields)
        return job

    try:
        return restore(raw)
    except NoSuchJobError:  # it has no data
        raise
    except Exception as error:
        for field, value in raw.items():
            try:
                restore({b"data": raw[b"data"], field: value})
            except Exception as cause:  # noqa: BLE001 - RQ raises what it meets
                raise DamagedEntry(
                    f"its {field.decode()} {value[:80]!r} cannot be read:"
                    f" {format_exception(cause)}"
                ) from error
        raise


def _check_unpacked(data: bytes | str) -> None:
    """Refuse data that is a thousand times larger once RQ has unpacked it."""
    if isinstance(data, str):
        raise TypeError("its data is text: the connection decodes what it gets")
    try:
        plain = zlib.decompressobj().decompress(data, MAX_PICKLE_BYTES + 1)
    except zlib.error:
        return  # RQ takes what is not compressed as it is
    if len(plain) > MAX_PICKLE_BYTES:
        raise OversizedEntry(f"its data has more than {MAX_PICKLE_BYTES:,} bytes")
