"""
The functions in Lua that the scripts have in common.

Lua turns numbers into text with 14 digits, so that times are handed through as
the text they came as, and C{exact} writes those that are calculated.
"""

from __future__ import annotations

from typing import Final

from ...lifetime import ABSOLUTE, IDLE
from ..journal import RETENTION

SLACK: Final = round(RETENTION) + 86400
"""
How long after its deadline the server itself forgets a session, in seconds: so
late that sweeps come before, and write the ending down, even if nobody was there
for as long as the journal holds one (the day more is what C{save} may be wrong
by); and not never, so that an application that is gone leaves nothing behind.
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

EXACT: Final = """
local function exact(number)
  return string.format('%.17g', number)
end
"""

LIVE: Final = f"""
-- The server forgets it at some time, if nobody else does.
local function live(key, deadline)
  local now = present()
  local left = math.max(deadline, now) - now + {SLACK}
  redis.call('PEXPIRE', key, string.format('%.0f', math.min(left, 1e10) * 1000))
end

-- The same when the deadline moves.  A day does not matter to what comes so late.
local function extend(key, before, deadline)
  if math.floor(deadline / 86400) ~= math.floor(before / 86400) then live(key, deadline) end
end
"""

PUT: Final = """
-- Sets the fields that the arguments name, from the first to the last of these.
local function put(key, first, last)
  for start = first, last, 1000 do
    redis.call('HSET', key, unpack(ARGV, start, math.min(start + 999, last)))
  end
end
"""

READ: Final = f"""
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

PUT_ASIDE: Final = f"""
-- Keeps a damaged record for people to look at, and takes it out of the way.
local function putAside(key, deadlines, owners, damaged, sid)
  local owner = redis.pcall('HGET', key, 'o')
  if type(owner) == 'string' then redis.call('ZREM', owners, memberOf(owner, sid)) end
  redis.call('ZREM', deadlines, sid)
  redis.call('RENAME', key, damaged)
  redis.call('EXPIRE', damaged, {ASIDE})
end
"""
