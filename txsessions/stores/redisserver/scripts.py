"""
The scripts: each operation one atomic step on the server, on keys of one slot.

They say again in Lua what L{txsessions.record.apply} and L{txsessions.lifetime}
say.  A script on a bucket makes the names of records from the base of the
bucket: they are in the same slot as the keys that are declared.
"""

from __future__ import annotations

from typing import Final

from ...lifetime import IDLE
from ...redis.script import Script
from .ending import FINISH, FORGET, SHARE, writing
from .journalscripts import ACKNOWLEDGE, DISMISS, ENROL, PEEK_ENDINGS, TAKE
from .lua import EXACT, LIVE, PUT, PUT_ASIDE, READ, TIME
from .ownerscripts import END_OWNED, FENCE, RESERVE

_CREATE: Final = """
local key, deadlines, owners = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', key) == 1 then return 0 end
put(key, 4, #ARGV)
redis.call('ZADD', deadlines, ARGV[2], ARGV[1])
if ARGV[3] ~= '' then redis.call('ZADD', owners, 0, ARGV[3]) end
live(key, tonumber(ARGV[2]))
return 1
"""

_CHECK: Final = """
local key, deadlines, owners = KEYS[1], KEYS[2], KEYS[3]
local sid, version, verifier, touched = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record, problem, reason = read(key)
if problem == 'damaged' then putAside(key, deadlines, owners, KEYS[4], sid) end
if problem then return {problem, reason} end
if version ~= '' and tonumber(version) ~= record.version then return {'conflict'} end
if verifier ~= '' and string.sub(verifier, 2) ~= record.verifier then return {'conflict'} end
local before = deadlineOf(record)
touched = tonumber(touched)
if touched and touched >= before then return {'ended', reasonOf(record)} end
"""
"""
Whether a change applies: C{record} is what it applies to.
"""

_APPLY: Final = """
if touched and touched > record.modified then
  record.modified = touched
  redis.call('HSET', key, 'm', ARGV[4])
end
if ARGV[5] == '' then
  record.version = record.version + 1
  redis.call('HSET', key, 'v', string.format('%.0f', record.version))
  if ARGV[6] ~= '' then
    if record.owner then redis.call('ZREM', owners, memberOf(record.owner, sid)) end
    if ARGV[6] == '-' then
      redis.call('HDEL', key, 'o')
    else
      local owner = string.sub(ARGV[6], 2)
      redis.call('HSET', key, 'o', owner)
      redis.call('ZADD', owners, 0, memberOf(owner, sid))
    end
  end
  if ARGV[7] ~= '' then redis.call('HSET', key, 'd', string.sub(ARGV[7], 2)) end
  if ARGV[8] ~= '' then
    redis.call('HSET', key, 'i', ARGV[8])
    record.idle = tonumber(ARGV[8])
  end
  if ARGV[9] == '-' then
    redis.call('HDEL', key, 'a')
    record.absolute = nil
  elseif ARGV[9] ~= '' then
    redis.call('HSET', key, 'a', ARGV[9])
    record.absolute = tonumber(ARGV[9])
  end
  local last = 10 + 2 * ARGV[10]
  put(key, 11, last)
  for number = last + 1, #ARGV do redis.call('HDEL', key, ARGV[number]) end
end
local deadline = deadlineOf(record)
-- One that is later than it was is put right by the claim that comes upon it.
if deadline < before then redis.call('ZADD', deadlines, exact(deadline), sid) end
extend(key, before, deadline)
return {'saved', record.version}
"""

_LOOK: Final = """
-- The arguments: the touch, and the version that is expected, each empty if there is none;
-- fields and values of attributes.
local key, touched, expected = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local found = redis.pcall('HMGET', key, 'v', 'd', 'c', 'm', 'i', 'a', 'e')
local version, created, modified = tonumber(found[1]), tonumber(found[3]), tonumber(found[4])
local idle, absolute = tonumber(found[5]), tonumber(found[6] or math.huge)
local sum = version and created and modified and idle and absolute
sum = sum and version + created + modified + idle + absolute
local isSound = sum and sum == sum and found[2] and not found[7]
local latest = isSound and created + absolute
local before = isSound and math.min(modified + idle, latest)
if not isSound or (expected ~= '' and tonumber(expected) ~= version)
    or (touched and touched >= before) then
"""
"""
Whether a change applies that sets attributes and touches, which is what most requests ask
for: hence the least that does it, without tables and functions, which the server would
make each time.  L{READ} follows, and L{_WHY}.
"""

_WHY: Final = """
  local record, problem, reason = read(key)
  if problem then return {problem, reason} end
  if expected ~= '' and tonumber(expected) ~= record.version then return {'conflict'} end
  return {'ended', reasonOf(record)}
end
"""

_UPDATE: Final = """
local moment, after = found[4], before
if touched and touched > modified then
  moment, after = ARGV[1], math.min(touched + idle, latest)
end
if #ARGV > 2 then version = version + 1 end
redis.call('HSET', key, 'm', moment, 'v', string.format('%.0f', version), unpack(ARGV, 3))
extend(key, before, after)
return version
"""

_DELETE: Final = """
local key, deadlines, owners, sid = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local record, problem, fields = readWhole(key)
if problem == 'damaged' then putAside(key, deadlines, owners, KEYS[4], sid) end
if problem then return {problem} end
if ARGV[3] and record.owner ~= ARGV[3] then return {'another'} end
finish(deadlines, owners, baseOf(key), {{sid = sid, reason = ARGV[2], owner = record.owner}})
return {'deleted', fields}
"""

_SET_ASIDE: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if type(redis.pcall('HGET', KEYS[1], 'e')) == 'string' then return 0 end
putAside(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
return 1
"""

_NOW: Final = """
return exact(present())
"""

_PEEK: Final = """
local found = {exact(present())}
for number, deadlines in ipairs(KEYS) do
  found[number + 1] = redis.call('ZRANGE', deadlines, 0, ARGV[1] - 1, 'WITHSCORES')
end
return found
"""

_CLAIM: Final = """
local now = present()
local claimed, next = {}, {}
for number = 1, #KEYS / 3 do
  local deadlines, owners = KEYS[3 * number - 2], KEYS[3 * number - 1]
  local base, bound, limit = unpack(ARGV, 3 * number - 2, 3 * number)
  bound = exact(math.min(now, tonumber(bound)))
  local ended = {}
  for _, sid in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', bound, 'LIMIT', 0, limit)) do
    local key = base .. 'session:' .. sid
    local record, problem, fields = readWhole(key)
    if problem == 'damaged' then
      putAside(key, deadlines, owners, base .. 'damaged:' .. sid, sid)
      table.insert(claimed, {sid})
    elseif problem then
      redis.call('ZREM', deadlines, sid)
    elseif deadlineOf(record) > now then
      redis.call('ZADD', deadlines, exact(deadlineOf(record)), sid)
    else
      local reason = reasonOf(record)
      table.insert(claimed, {sid, reason, fields})
      table.insert(ended, {sid = sid, reason = reason, owner = record.owner})
    end
  end
  finish(deadlines, owners, base, ended)
  next[number] = redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2] or false
end
return {claimed, next}
"""

_OWNED: Final = """
local found = {}
for number, owners in ipairs(KEYS) do
  found[number] = redis.call('ZRANGEBYLEX', owners, ARGV[1], ARGV[2])
end
return found
"""

_DISOWN: Final = """
local owner = redis.pcall('HGET', KEYS[1], 'o')
if type(owner) ~= 'string' or memberOf(owner, ARGV[1]) ~= ARGV[2] then
  return redis.call('ZREM', KEYS[2], ARGV[2])
end
return 0
"""

_DELETE_OLD: Final = f"""
local deadlines, owners, base, moment = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local ended = {{}}
for number = 3, #ARGV do
  local sid = ARGV[number]
  local record = read(base .. 'session:' .. sid)
  if record and record.modified <= moment then
    table.insert(ended, {{sid = sid, reason = '{IDLE}', owner = record.owner}})
  end
end
finish(deadlines, owners, base, ended)
return #ended
"""


class Scripts:
    """
    The scripts of a store.  Each begins with the functions it needs and no
    others, since the server makes them anew each time.

    @ivar create: Inserts a record if there is none.
    @ivar update: Applies a change that sets attributes or touches, and nothing else.
    @ivar save: Applies any change.
    @ivar logIn: Applies a change that gives an owner, unless that is too late.
    @ivar delete: Ends a session, perhaps only that of a certain owner.
    @ivar setAside: Puts a damaged record aside.
    @ivar now: The present.
    @ivar peek: The present, and what is due first in each bucket.
    @ivar claim: Ends what is due in some buckets.
    @ivar owned: The sessions of an owner in some buckets.
    @ivar disown: Takes a session out of the index where it does not belong.
    @ivar reserve: Puts a log-in into the line of its owner.
    @ivar endOwned: Ends the sessions of an owner in some buckets.
    @ivar deleteOld: Ends those of some sessions that nobody touched for long.
    @ivar enrol: Begins to write endings down for an observer.
    @ivar dismiss: Ends that, and forgets what is there.
    @ivar peekEndings: What an observer has still to be told, and nobody has.
    @ivar take: Gives some of that to somebody.
    @ivar acknowledge: Forgets what an observer has been told.
    """

    def __init__(self, time: str = TIME, share: int = SHARE) -> None:
        """
        @param time: Defines the function C{present}, in Lua.
        @param share: How many endings each bucket holds for one observer.
        """
        exact = time + EXACT
        live, aside = exact + LIVE, READ + PUT_ASIDE
        finish = exact + READ + FORGET + writing(share) + FINISH
        self.create = Script("create", live + PUT + _CREATE)
        self.update = Script("update", time + LIVE + _LOOK + READ + _WHY + _UPDATE)
        self.save = Script("save", live + PUT + aside + _CHECK + _APPLY)
        self.logIn = Script("logIn", finish + LIVE + PUT + PUT_ASIDE + _CHECK + FENCE + _APPLY)
        self.delete = Script("delete", finish + PUT_ASIDE + _DELETE)
        self.setAside = Script("setAside", aside + _SET_ASIDE)
        self.now = Script("now", exact + _NOW)
        self.peek = Script("peek", exact + _PEEK)
        self.claim = Script("claim", finish + PUT_ASIDE + _CLAIM)
        self.owned = Script("owned", _OWNED)
        self.disown = Script("disown", READ + _DISOWN)
        self.reserve = Script("reserve", exact + RESERVE)
        self.endOwned = Script("endOwned", finish + PUT_ASIDE + END_OWNED)
        self.deleteOld = Script("deleteOld", finish + _DELETE_OLD)
        self.enrol = Script("enrol", ENROL)
        self.dismiss = Script("dismiss", FORGET + DISMISS)
        self.peekEndings = Script("peekEndings", exact + FORGET + PEEK_ENDINGS)
        self.take = Script("take", exact + FORGET + TAKE)
        self.acknowledge = Script("acknowledge", FORGET + ACKNOWLEDGE)

    def all(self) -> list[Script]:
        """
        All of them.
        """
        return list(vars(self).values())
