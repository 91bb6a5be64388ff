"""Who works on which element of a batch: claims in Redis, with leases.

One hash per worker run, a field per element. Several jobs on several machines share it:
an element is claimed before it is worked on and settled afterwards. A claim is a lease
that runs out by itself when its job is lost; Redis's own clock is the only one. What a
killed job had done to its element may be done again, but never twice at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from dioptra_worker.broker.connection import translate_errors
from dioptra_worker.broker.odd_keys import OddKeys, tell
from dioptra_worker.common.text.strict_json import NotJson, loads
from dioptra_worker.protocol.messages import BatchElementState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import redis
    from redis.commands.core import Script

STATES: tuple[BatchElementState, ...] = get_args(BatchElementState)
Outcome = Literal["granted", "held", "processed", "postponed", "settled", "lost"]

PREFIX = "dioptra-worker:activity"
ELEMENT_LEASE_TTL = 60.0
"""Seconds after which the claim of a worker that was lost is free again."""
LONGEST_LEASE = 3600.0
"""Seconds that no claim of ours has left."""
RECORD_TTL = 30 * 24 * 3600
"""Seconds after the last change that the record of a worker run is kept."""

# Every script begins with this. The time is Redis's, since clocks of machines differ.
# What no worker has written in an element's place may hide a claim: so it counts as one
# of somebody unknown, until that would have run out.
_NOW = f"""
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
local states = {{queued = true, started = true, processed = true, error = true}}
local odd = false
local function write(element, entry)
  entry.at = now
  redis.call('HSET', KEYS[1], element, cjson.encode(entry))
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
local function is_between(value, first, last)
  return type(value) == 'number' and value >= first and value <= last
end
local function read(element)
  local raw = redis.call('HGET', KEYS[1], element)
  if not raw then return nil end
  local read, entry = pcall(cjson.decode, raw)
  if read and type(entry) == 'table' and type(entry.token) == 'string'
    and states[entry.state] and tonumber(entry.job)
    and is_between(entry.lease, 0, now + {LONGEST_LEASE})
    and is_between(entry.attempts, 0, 1000000)
    and is_between(entry.crashes, 0, 1000000) then return entry end
  odd = true
  entry = {{state = 'started', job = '0', token = '', attempts = 0, crashes = 0,
           lease = now + {ELEMENT_LEASE_TTL}, error = ''}}
  write(element, entry)
  return entry
end
"""
# Asked again with the same token, after its answer was lost, it grants again. A lease
# that has run out, or is of an earlier attempt of the same job, was lost with its
# worker: that is counted, and the element comes last, since it may be what kills
# workers. A new token fences the old holder off: whatever it still says is refused.
_ACQUIRE = (
    _NOW
    + """
local element, job, token, lease, last = unpack(ARGV, 2)
local entry = read(element) or {attempts = 0, crashes = 0}
if entry.state == 'processed' then return 'processed' end
if entry.state == 'started' then
  if entry.token == token then return 'granted' end
  if odd then return 'odd' end
  if entry.lease > now and entry.job ~= job then return 'held' end
  entry.crashes = entry.crashes + 1
  entry.state = 'error'
  entry.error = 'its worker was lost'
  entry.token = ''
  write(element, entry)
end
if entry.crashes > 0 and last == '0' then return 'postponed' end
entry.state = 'started'
entry.job = job
entry.token = token
entry.lease = now + tonumber(lease)
entry.attempts = entry.attempts + 1
entry.error = ''
write(element, entry)
return 'granted'
"""
)
# Only with the token of who holds it; said twice, after a lost answer, is said once.
_SET_STATE = (
    _NOW
    + """
local element, token, state, error, crashed = unpack(ARGV, 2)
local entry = read(element)
if not entry or entry.token ~= token then return 'lost' end
if entry.state == state then return 'settled' end
if entry.state ~= 'started' then return 'lost' end
entry.state = state
entry.error = error
entry.crashes = entry.crashes + tonumber(crashed)
write(element, entry)
return 'settled'
"""
)
_RENEW = (
    _NOW
    + """
local token, lease = unpack(ARGV, 2)
for i = 4, #ARGV do
  local entry = read(ARGV[i])
  if entry and entry.token == token and entry.state == 'started' then
    entry.lease = now + tonumber(lease)
    write(ARGV[i], entry)
  end
end
"""
)


@dataclass(frozen=True, kw_only=True)
class ElementRecord:
    """What is known of one element.

    Attributes:
        element: Its id.
        state: Where it stands.
        job: The job that last worked on it.
        attempts: How often it was begun.
        crashes: How often a job was lost while working on it.
        error: Why it failed, or empty.
        at: When it last changed, in seconds since 1970 by Redis's clock.
    """

    element: str
    state: BatchElementState
    job: int
    attempts: int
    crashes: int
    error: str
    at: float

    @classmethod
    def read(cls, element: str, body: dict[str, Any]) -> ElementRecord:
        """Read one field of the hash.

        Raises:
            NotJson: No worker wrote this.
        """
        try:
            return cls(
                element=element,
                state=_state(body["state"]),
                job=int(body["job"]),
                attempts=int(body["attempts"]),
                crashes=int(body["crashes"]),
                error=str(body.get("error", "")),
                at=float(body["at"]),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise NotJson(f"{type(error).__name__}: {error}") from None


def _state(text: object) -> BatchElementState:
    return STATES[STATES.index(cast("BatchElementState", text))]


class ElementLeases:
    """The leases on the elements of one worker run, and what became of each.

    Every method raises `ServiceUnavailable` when Redis is away.
    """

    def __init__(self, connection: redis.Redis, worker_run: str) -> None:
        """Open the record.

        Args:
            connection: To Redis.
            worker_run: The worker run's id.
        """
        self._redis = connection
        self._key = f"{PREFIX}:{worker_run}"
        self._odd = OddKeys(connection)
        self._acquire = connection.register_script(_ACQUIRE)
        self._set_state = connection.register_script(_SET_STATE)
        self._renew = connection.register_script(_RENEW)

    def acquire(
        self,
        element: str,
        *,
        job: int,
        token: str,
        last: bool = False,
        lease: float = ELEMENT_LEASE_TTL,
    ) -> Outcome:
        """Take an element to work on.

        Args:
            element: Its id.
            job: Who asks. A claim of the same job under another token is an attempt
                that was lost, and is taken over at once.
            token: Names this attempt of the job: whoever was lost cannot settle what
                another has taken over.
            last: Whether to take also an element under which a job was lost before.
            lease: Seconds until the claim is free again if it is not renewed.

        Returns:
            ``granted``; ``held`` by another job; ``processed`` already; or
            ``postponed``, to be asked for again with *last*.
        """
        values = (element, job, token, lease, int(last))
        with translate_errors():
            return self._call(self._acquire, *values)

    def set_state(
        self,
        element: str,
        state: BatchElementState,
        *,
        token: str,
        error: str = "",
        crashed: bool = False,
    ) -> Outcome:
        """Say what became of a claimed element.

        Args:
            element: Its id.
            state: ``processed``, ``error``, or ``queued`` to let go of it untouched.
            token: What it was claimed with.
            error: Why it failed.
            crashed: Whether the job was lost over it.

        Returns:
            ``settled``, or ``lost`` when somebody else has claimed it meanwhile.
        """
        with translate_errors():
            return self._call(
                self._set_state, element, token, state, error, int(crashed)
            )

    def renew(
        self, elements: Iterable[str], *, token: str, lease: float = ELEMENT_LEASE_TTL
    ) -> None:
        """Keep claims that are still ours for another *lease* seconds."""
        args: list[str | float] = [RECORD_TTL, token, lease, *elements]
        with translate_errors():
            self._odd.call(
                {self._key: "hash"}, lambda: self._renew(keys=[self._key], args=args)
            )

    def records(self) -> Iterator[ElementRecord]:
        """Every element that was ever begun, in no order."""
        with translate_errors():
            self._odd.call({self._key: "hash"}, lambda: self._redis.hlen(self._key))
            for field, value in self._redis.hscan_iter(self._key, count=1000):
                try:
                    yield ElementRecord.read(field.decode(), loads(value))
                except ValueError:  # also a field that is no UTF-8
                    tell(f"{self._key} {field[:100]!r}", "this field is passed over")

    def reset(self, states: Collection[BatchElementState]) -> int:
        """Forget the elements in some states, so that they are processed again.

        Returns:
            How many were forgotten.
        """
        gone = [entry.element for entry in self.records() if entry.state in states]
        with translate_errors():
            for first in range(0, len(gone), 1000):
                self._redis.hdel(self._key, *gone[first : first + 1000])
        return len(gone)

    def _call(self, script: Script, *values: str | float) -> Outcome:
        args: list[str | float] = [RECORD_TTL, *values]
        answer: bytes = self._odd.call(
            {self._key: "hash"}, lambda: script(keys=[self._key], args=args)
        )
        if answer == b"odd":
            tell(
                f"{self._key} {values[0]!r}",
                f"a job may work on it, so it is free after {ELEMENT_LEASE_TTL:.0f} s",
            )
            return "held"
        return cast("Outcome", answer.decode())
