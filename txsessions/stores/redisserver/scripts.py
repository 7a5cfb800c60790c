"""
The scripts: each operation one atomic step on the server, on keys of one slot.

They say again in Lua what L{txsessions.record.apply} and L{txsessions.lifetime}
say.  Lua turns numbers into text with 14 digits, so that times are handed through
as the text they came as, and C{exact} writes those that are calculated.

A script on a bucket makes the names of records from the base of the bucket: they
are in the same slot as the keys that are declared.
"""

from __future__ import annotations

from typing import Final

from ...lifetime import ABSOLUTE, IDLE
from ...redis.script import Script
from ..remembrance import RETENTION

SLACK: Final = 7 * 86400
"""
How long after its deadline the server itself forgets a session, in seconds: so
late that sweeps come before, even if nobody was there over a long week-end; and
not never, so that an application that is gone leaves nothing behind.
"""

ASIDE: Final = 30 * 86400
"""
How long a damaged record is kept for people to look at, in seconds.
"""

TIME: Final = """
local function present()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1000000
end
"""
"""
The present on the server's clock.
"""

_LIVE: Final = f"""
local function exact(number)
  return string.format('%.17g', number)
end

-- The server forgets it at some time, if nobody else does.
local function live(key, deadline)
  local now = present()
  local left = math.max(deadline, now) - now + {SLACK}
  redis.call('PEXPIRE', key, string.format('%.0f', math.min(left, 1e10) * 1000))
end
"""

_PUT: Final = """
-- Sets the fields that the arguments name, from the first to the last of these.
local function put(key, first, last)
  for start = first, last, 1000 do
    redis.call('HSET', key, unpack(ARGV, start, math.min(start + 999, last)))
  end
end
"""

_READ: Final = f"""
-- A number, or nothing; also nothing that is called a number and is none.
local function numberOf(text)
  local number = tonumber(text)
  if number == number then return number end
end

-- The record of some fields; or nothing, and 'damaged', or 'ended' with the reason.
local function recordOf(facts)
  if facts.e then return nil, 'ended', facts.e end
  local record = {{
    version = numberOf(facts.v), verifier = facts.d, created = numberOf(facts.c),
    modified = numberOf(facts.m), idle = numberOf(facts.i), absolute = numberOf(facts.a),
    owner = facts.o
  }}
  if record.version and record.verifier and record.created and record.modified
      and record.idle and (record.absolute or not facts.a) then
    return record
  end
  return nil, 'damaged'
end

-- The same of a key, or 'absent'.
local function read(key)
  local found = redis.pcall('HMGET', key, 'v', 'd', 'c', 'm', 'i', 'a', 'o', 'e')
  if found.err then return nil, 'damaged' end
  local record, problem, reason = recordOf({{
    v = found[1], d = found[2], c = found[3], m = found[4],
    i = found[5], a = found[6], o = found[7], e = found[8]
  }})
  if problem == 'damaged' and redis.call('EXISTS', key) == 0 then problem = 'absent' end
  return record, problem, reason
end

-- The same, and all fields.
local function readWhole(key)
  local fields = redis.pcall('HGETALL', key)
  if fields.err then return nil, 'damaged' end
  if #fields == 0 then return nil, 'absent' end
  local facts = {{}}
  for number = 1, #fields, 2 do facts[fields[number]] = fields[number + 1] end
  local record, problem = recordOf(facts)
  return record, problem, fields
end

local function deadlineOf(record)
  local idle = record.modified + record.idle
  if not record.absolute then return idle end
  return math.min(idle, record.created + record.absolute)
end

local function reasonOf(record)
  if deadlineOf(record) == record.modified + record.idle then return '{IDLE}' end
  return '{ABSOLUTE}'
end

local function memberOf(owner, sid)
  return redis.sha1hex(owner) .. ':' .. sid
end
"""

_ASIDE: Final = f"""
-- Keeps a damaged record for people to look at, and takes it out of the way.
local function putAside(key, deadlines, owners, damaged, sid)
  local owner = redis.pcall('HGET', key, 'o')
  if type(owner) == 'string' then redis.call('ZREM', owners, memberOf(owner, sid)) end
  redis.call('ZREM', deadlines, sid)
  redis.call('RENAME', key, damaged)
  redis.call('EXPIRE', damaged, {ASIDE})
end
"""

_FINISH: Final = f"""
-- Ends a session, and remembers that for a while.
local function replace(key, reason)
  redis.call('DEL', key)
  redis.call('HSET', key, 'e', reason)
  redis.call('EXPIRE', key, {RETENTION:.0f})
end

-- Takes members out of a sorted set.
local function remove(key, members)
  for start = 1, #members, 1000 do
    redis.call('ZREM', key, unpack(members, start, math.min(start + 999, #members)))
  end
end

-- Ends some sessions of a bucket, and takes them out of its sets together.
local function finish(deadlines, owners, base, ended)
  local sids, members = {{}}, {{}}
  for number, each in ipairs(ended) do
    replace(base .. 'session:' .. each.sid, each.reason)
    sids[number] = each.sid
    if each.owner then table.insert(members, memberOf(each.owner, each.sid)) end
  end
  remove(deadlines, sids)
  remove(owners, members)
end
"""

_CREATE: Final = """
local key, deadlines, owners = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', key) == 1 then return 0 end
put(key, 4, #ARGV)
redis.call('ZADD', deadlines, ARGV[2], ARGV[1])
if ARGV[3] ~= '' then redis.call('ZADD', owners, 0, ARGV[3]) end
live(key, tonumber(ARGV[2]))
return 1
"""

_SAVE: Final = """
local key, deadlines, owners = KEYS[1], KEYS[2], KEYS[3]
local sid, version, verifier, touched = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record, problem, reason = read(key)
if problem == 'damaged' then putAside(key, deadlines, owners, KEYS[4], sid) end
if problem then return {problem, reason} end
if version ~= '' and tonumber(version) ~= record.version then return {'conflict'} end
if verifier ~= '' and string.sub(verifier, 2) ~= record.verifier then return {'conflict'} end
local before = deadlineOf(record)
if touched ~= '' then
  if tonumber(touched) >= before then return {'ended', reasonOf(record)} end
  if tonumber(touched) > record.modified then
    record.modified = tonumber(touched)
    redis.call('HSET', key, 'm', touched)
  end
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
if deadline ~= before then
  redis.call('ZADD', deadlines, exact(deadline), sid)
  -- A day does not matter to what comes a week late.
  if math.floor(deadline / 86400) ~= math.floor(before / 86400) then live(key, deadline) end
end
return {'saved', record.version}
"""

_DELETE: Final = """
local key, deadlines, owners, sid = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local record, problem, fields = readWhole(key)
if problem == 'damaged' then putAside(key, deadlines, owners, KEYS[4], sid) end
if problem then return {problem} end
replace(key, ARGV[2])
redis.call('ZREM', deadlines, sid)
if record.owner then redis.call('ZREM', owners, memberOf(record.owner, sid)) end
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
for number = 1, #KEYS / 2 do
  local deadlines, owners = KEYS[2 * number - 1], KEYS[2 * number]
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
    @ivar save: Applies a change.
    @ivar delete: Ends a session.
    @ivar setAside: Puts a damaged record aside.
    @ivar now: The present.
    @ivar peek: The present, and what is due first in each bucket.
    @ivar claim: Ends what is due in some buckets.
    @ivar owned: The sessions of an owner in some buckets.
    @ivar disown: Takes a session out of the index where it does not belong.
    @ivar deleteOld: Ends those of some sessions that nobody touched for long.
    """

    def __init__(self, time: str = TIME) -> None:
        """
        @param time: Defines the function C{present}, in Lua.
        """
        live, aside = time + _LIVE, _READ + _ASIDE
        self.create = Script("create", live + _PUT + _CREATE)
        self.save = Script("save", live + _PUT + aside + _SAVE)
        self.delete = Script("delete", aside + _FINISH + _DELETE)
        self.setAside = Script("setAside", aside + _SET_ASIDE)
        self.now = Script("now", live + _NOW)
        self.peek = Script("peek", live + _PEEK)
        self.claim = Script("claim", live + aside + _FINISH + _CLAIM)
        self.owned = Script("owned", _OWNED)
        self.disown = Script("disown", _READ + _DISOWN)
        self.deleteOld = Script("deleteOld", _READ + _FINISH + _DELETE_OLD)

    def all(self) -> list[Script]:
        """
        All of them.
        """
        return list(vars(self).values())
