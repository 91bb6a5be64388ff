"""What leases and attempts are changed by in Redis: each of these is one step there.

So no other worker can come in between.
"""

from __future__ import annotations

PREFIX = "dioptra-worker"

# Who has a lease; what is no text was written by no worker. No lease of ours lasts for
# ever, so one that would gets an end.
_READ_LEASE = """
local held = false
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'string' then held = redis.call('GET', KEYS[1])
elseif kind ~= 'none' then held = '' end
local function bound(longest)
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > longest then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
end
if held then bound(math.huge) end
"""
# Take the lease if it is free, ours, or ARGV[3], which we may replace: not what was
# written since we looked. The answer is who else has it.
_TAKE = (
    _READ_LEASE
    + """
if held and held ~= ARGV[1] and held ~= ARGV[3] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
"""
)
ACQUIRE = _TAKE + "return false"
# The same, and how the job ended, in one step: only its owner says that. Which attempt
# that was is kept for whoever finds what an earlier one has left.
END = (
    _TAKE
    + """
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
if ARGV[6] ~= '' then redis.call('SET', KEYS[3], ARGV[6], 'EX', ARGV[7]) end
return false
"""
)
LOOK = _READ_LEASE + "return held"
# What no worker has written lasts as long as a lease at most.
BOUND = (
    _READ_LEASE
    + """
if held == ARGV[1] then bound(tonumber(ARGV[2])) end
"""
)
# Only ours: it may have run out, and be another worker's by now. The run is settled in
# the same step, so that no sweep sees a job that nobody has with a run that is unknown.
# One that is not is looked for, also if Redis has forgotten meanwhile that it is begun.
# What workers have told each other of a job that is over goes, unless another has it.
RELEASE = (
    _READ_LEASE
    + """
if ARGV[3] ~= '' then
  if ARGV[4] == '1' then redis.call('HDEL', KEYS[2], ARGV[3])
  else redis.call('HSETNX', KEYS[2], ARGV[3], ARGV[6]) end
end
if held and held ~= ARGV[1] then return end
if ARGV[5] ~= '' then
  redis.call('DEL', KEYS[3], KEYS[4])
  redis.call('HDEL', KEYS[5], ARGV[5])
  redis.call('HDEL', KEYS[6], ARGV[5])
end
redis.call('DEL', KEYS[1])
"""
)
# A number that we have counted; what is none counts as nothing.
_READ_COUNT = """
local raw = redis.call('GET', KEYS[1])
local is_ours = raw and #raw < 10 and string.find(raw, '^[1-9]%d*$')
local count = is_ours and tonumber(raw) or 0
"""
# Take the lease and count, once for each token, since a request whose answer is lost is
# sent again. The answer is who else has the lease, or the number, whether there was
# something else in its place, and whether an end or a trouble is noted of the job.
BEGIN = (
    _TAKE
    + _READ_COUNT.replace("KEYS[1]", "KEYS[2]")
    + """
local is_noted = redis.call('HEXISTS', KEYS[5], ARGV[4])
is_noted = is_noted + redis.call('HEXISTS', KEYS[6], ARGV[4])
if count > 0 and redis.call('GET', KEYS[3]) == ARGV[5] then
  return {count, 0, is_noted}
end
redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[6])
redis.call('HSET', KEYS[4], ARGV[5], ARGV[7])
redis.call('SET', KEYS[2], count + 1, 'EX', ARGV[6])
return {count + 1, raw and not is_ours and 1 or 0, is_noted}
"""
)
UNCOUNT = (
    _READ_COUNT
    + """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return end
redis.call('DEL', KEYS[2])
if count > 1 then redis.call('SET', KEYS[1], count - 1, 'KEEPTTL')
else redis.call('DEL', KEYS[1]) end
"""
)
# No turn is longer than ours, and none lasts for ever.
TURN = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
local left = redis.call('PTTL', KEYS[1])
if left < 0 or left > tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return left < 0 and -1 or 0
"""


def lease_key(job_id: int) -> str:
    """The key of the lease on a job."""
    return f"{PREFIX}:lease:{job_id}"
