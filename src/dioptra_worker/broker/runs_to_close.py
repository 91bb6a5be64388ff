"""What workers tell each other in Redis of MLflow runs that are still to be closed.

Some are *known*, and only MLflow was away at the end of their job. Others have perhaps
been *begun* by a start of a job, and their id is in an answer that nobody has read.
Each has one status at a time to be closed with, which whoever has the lease on its job
decides. What a lost start has begun, whoever sweeps closes, one at a time, and who
takes the job over waits until that is done: what it decides is what the run ends with.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from dioptra_worker.broker.connection import translate_errors
from dioptra_worker.broker.lease_scripts import lease_key
from dioptra_worker.broker.odd_keys import OddKeys, tell
from dioptra_worker.broker.records import UNKNOWN, UnknownRun, read_holder, read_record
from dioptra_worker.common.text.strict_json import NotJson
from dioptra_worker.protocol.run_rules import RunStatus

if TYPE_CHECKING:
    import redis


OPEN_RUNS = "dioptra-worker:open-runs"
UNKNOWN_RUNS = "dioptra-worker:unknown-runs"
MAX_LOOKS = 20
"""How often MLflow is asked for a run that was perhaps begun: for five minutes."""
CLOSING_TTL = 45.0
"""Seconds that who sweeps has for the runs of one start, and may be waited for."""
_RUN_ID = _TOKEN = re.compile(r"[0-9a-f]{32}")
_RUN_STATUSES = get_args(RunStatus)

# Only a worker that can have the job says how its runs are to be closed: ARGV[1] is who
# asks, then come a start's token and what is known of it, a run and its status.
_RECORD = """
local lease = redis.call('TYPE', KEYS[1]).ok
if lease == 'string' then lease = redis.call('GET', KEYS[1]) end
if lease ~= 'none' and lease ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[3], ARGV[4], ARGV[5]) end
return 1
"""
# Once nobody closes what a job's starts have begun, but for ARGV[1], who is gone. The
# first of what is answered is who does, and that gets an end.
_IF_NOBODY_CLOSES = """
local closer = redis.call('GET', KEYS[1])
if closer and closer ~= ARGV[1] then
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return {closer}
end
"""
# Pairs of a token and what is known of it are decided.
_TAKE_OVER = (
    _IF_NOBODY_CLOSES
    + """
redis.call('DEL', KEYS[1])
for i = 3, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1 then
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
return {}
"""
)
_BEGIN = (
    _IF_NOBODY_CLOSES
    + """
local run = redis.call('HGET', KEYS[2], ARGV[4])
if run then redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2]) end
return {false, run}
"""
)
# Whoever took the job over since has perhaps decided anew, and that stays.
_END = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then return end
if ARGV[4] == '' then redis.call('HDEL', KEYS[2], ARGV[2])
else redis.call('HSET', KEYS[2], ARGV[2], ARGV[4]) end
"""


@dataclass(frozen=True)
class Closing:
    """What a start has perhaps begun, while somebody closes it.

    Attributes:
        token: The start's.
        run: What is known of it.
        text: The same, as it was written.
    """

    token: str
    run: UnknownRun
    text: bytes


class RunsToClose:
    """The MLflow runs that are still to be closed, by whichever worker.

    Every method raises `ServiceUnavailable` when Redis is away.
    """

    def __init__(self, connection: redis.Redis, me: bytes) -> None:
        """Prepare.

        Args:
            connection: To Redis.
            me: This worker, as it is written into leases.
        """
        self._redis = connection
        self._odd = OddKeys(connection)
        self._me = me
        self._record = connection.register_script(_RECORD)
        self._take_over = connection.register_script(_TAKE_OVER)
        self._begin = connection.register_script(_BEGIN)
        self._end = connection.register_script(_END)

    def record_known(
        self, run_id: str, status: str, *, job_id: int, token: str = ""
    ) -> bool:
        """Note that a run is still to be closed with a status.

        Args:
            run_id: The run.
            status: How it ended.
            job_id: Its job.
            token: That of the start which has begun it, if that is known.

        Returns:
            Whether it is noted: what becomes of another's job is that one's to say.
        """
        begun = dump_run(UnknownRun(job_id, status))
        return self._note(job_id, [token, begun, run_id, status])

    def record_begun(self, token: str, run: UnknownRun) -> bool:
        """Note how what a start has perhaps begun is to be closed, likewise."""
        return self._note(run.job_id, [token, dump_run(run), "", ""])

    def remember_begun(self, token: str, run: UnknownRun) -> None:
        """Note what a lost start has perhaps begun, if Redis does not know of it.

        It has known since that start, and forgets when it is restarted or another takes
        its place. What was decided since of how that run is closed stays.

        Args:
            token: The start's.
            run: Its job, and how to close what is still open.
        """
        with translate_errors():
            self._odd.call(
                {UNKNOWN_RUNS: "hash"},
                lambda: self._redis.hsetnx(UNKNOWN_RUNS, token, dump_run(run)),
            )

    def _note(self, job_id: int, args: list[str]) -> bool:
        keys = [lease_key(job_id), UNKNOWN_RUNS, OPEN_RUNS]
        with translate_errors():
            noted = self._odd.call(
                {UNKNOWN_RUNS: "hash", OPEN_RUNS: "hash"},
                lambda: self._record(keys=keys, args=[self._me, *args]),
            )
        return bool(noted)

    def forget_known(self, run_id: str) -> None:
        """Note that a run is closed."""
        with translate_errors():
            self._odd.call(
                {OPEN_RUNS: "hash"}, lambda: self._redis.hdel(OPEN_RUNS, run_id)
            )

    def known(self) -> dict[str, str]:
        """The statuses that known runs are to be closed with, by run."""
        with translate_errors():
            found = self._odd.call(
                {OPEN_RUNS: "hash"}, lambda: self._redis.hgetall(OPEN_RUNS)
            )
            runs = {}
            for field, value in found.items():
                [run, status] = (_ascii(it) for it in (field, value))
                if _RUN_ID.fullmatch(run) and status in _RUN_STATUSES:
                    runs[run] = status
                    continue
                self._redis.hdel(OPEN_RUNS, field)  # MLflow has none of that name
                tell(f"{OPEN_RUNS} {run[:100]!r}", "this field was removed")
        return runs

    def begun(self) -> dict[str, UnknownRun]:
        """The runs that may be there and nobody knows, by the starts' tokens."""
        with translate_errors():
            found = self._odd.call(
                {UNKNOWN_RUNS: "hash"}, lambda: self._redis.hgetall(UNKNOWN_RUNS)
            )
            runs = {}
            for field, value in found.items():
                token, run = _ascii(field), _read(value)
                if _TOKEN.fullmatch(token) and run is not None:
                    runs[token] = run
                    continue
                self._redis.hdel(UNKNOWN_RUNS, field)  # no start has that token
                tell(f"{UNKNOWN_RUNS} {token[:100]!r}", "this field was removed")
        return runs

    def take_over(self, job_id: int, status: str, *, token: str) -> bool:
        """Decide how the runs of a job's earlier starts end; its lease is ours.

        Args:
            job_id: The job.
            status: How they end.
            token: Our own start's, whose run is not among them.

        Returns:
            Whether that is decided. Otherwise somebody closes one with what was decided
            before, which takes `CLOSING_TTL` at most: try again.
        """
        decided: list[str] = []
        for other, run in self.begun().items():
            if run.job_id == job_id and other != token:
                decided += [other, dump_run(replace(run, status=status))]
        answer = self._unless_closing(job_id, self._take_over, decided)
        return answer is not None

    def begin_closing(self, token: str, job_id: int) -> Closing | None:
        """Begin to close what a start has begun; nobody else does so until we end that.

        Args:
            token: The start's, whose process does not have the job any more.
            job_id: Its job.

        Returns:
            What is to be closed. None when somebody else closes what this job's starts
            have begun, or it is settled what became of it.
        """
        answer = self._unless_closing(job_id, self._begin, [self._me, token])
        found = None if answer is None else answer[1]
        if found is None:
            return None
        run = _read(found)
        if run is None:  # it is removed when it is listed
            self._call_on_job(job_id, self._end, [self._me, token, b"", b""])
            return None
        return Closing(token, run, found)

    def end_closing(self, closing: Closing, *, is_looked_for: bool) -> None:
        """Note that we have ended to close what a start has begun.

        Args:
            closing: What `begin_closing` has said.
            is_looked_for: Whether MLflow was there; what was looked for often enough is
                forgotten.
        """
        run = closing.run
        looks = run.looks + is_looked_for
        after = "" if looks >= MAX_LOOKS else dump_run(replace(run, looks=looks))
        args = [self._me, closing.token, closing.text, after]
        self._call_on_job(run.job_id, self._end, args)

    def _unless_closing(
        self, job_id: int, script: Any, args: list[Any]
    ) -> list[bytes | None] | None:
        """Do something unless somebody closes a run of a job: then None."""
        replaceable = b""  # not us: another thread of ours may close one
        for _ in range(2):  # the second time from who does not any more
            answer: list[bytes | None]
            answer = self._call_on_job(job_id, script, [replaceable, _PX, *args])
            closer = answer[0] if answer else None
            if closer is None:
                return answer
            holder = read_holder(closer)
            if not (holder == UNKNOWN or holder.is_dead()):
                return None
            replaceable = closer
        return None

    def _call_on_job(self, job_id: int, script: Any, args: list[Any]) -> Any:
        keys = [f"dioptra-worker:closing:{job_id}", UNKNOWN_RUNS]
        with translate_errors():
            return self._odd.call(
                {keys[0]: "string", UNKNOWN_RUNS: "hash"},
                lambda: script(keys=keys, args=args),
            )


_PX = int(CLOSING_TTL * 1000)


def dump_run(run: UnknownRun) -> str:
    """What Redis keeps of it."""
    return json.dumps(asdict(run))


def _read(text: bytes | str) -> UnknownRun | None:
    try:
        run = read_record(UnknownRun, text)
    except NotJson:
        return None
    is_ours = run.status in _RUN_STATUSES and 0 <= run.looks < MAX_LOOKS
    return run if is_ours and run.job_id > 0 else None


def _ascii(data: Any) -> str:
    return str(data, "ascii", "replace")
