"""
The functions in Lua by which sessions end: all scripts that end one call
C{finish}, which remembers the end, writes it down for those who have to be told
of it, and says it to all who listen.
"""

from __future__ import annotations

from typing import Final

from ..journal import MAXIMUM
from ..journal import RETENTION as HELD
from ..remembrance import RETENTION
from .keys import BUCKETS

SHARE: Final = MAXIMUM // BUCKETS * 21 // 20
"""
How many endings one bucket holds for one observer at the most.  A little more
than its share, since sessions are spread by chance: so of a million that end
together no bucket gets more.
"""

FORGET: Final = """
-- How the names of all keys begin that are in the slot of this one.
local function baseOf(key)
  return string.match(key, '^{.-}')
end

-- Takes endings from what an observer has still to be told, and forgets those of
-- which nobody else has.
local function forget(base, observer, ids)
  for _, id in ipairs(ids) do
    if redis.call('ZREM', base .. 'journal:' .. observer, id) == 1 then
      local entry = base .. 'ending:' .. id
      if redis.call('HINCRBY', entry, 'h', -1) < 1 then redis.call('DEL', entry) end
    end
  end
end
"""

_WRITE: Final = """
-- Makes an entry of the journal out of a record.  It is held as long as entries
-- are, however soon the server would have forgotten the record.
local function write(base, observers, ending, now)
  local id = string.format('%s-%x', ending.sid, math.floor(now * 1000000 + 0.5))
  local entry = base .. 'ending:' .. id
  redis.call('RENAME', base .. 'session:' .. ending.sid, entry)
  redis.call('HSET', entry, 'r', ending.reason, 't', exact(now), 'h', #observers)
  redis.call('PEXPIRE', entry, HELD)
  for _, observer in ipairs(observers) do
    redis.call('ZADD', base .. 'journal:' .. observer, exact(now), id)
  end
end

-- Drops of what an observer has still to be told the oldest that is too much.
local function trim(base, observer)
  local journal = base .. 'journal:' .. observer
  redis.call('PEXPIRE', journal, HELD)
  local excess = redis.call('ZCARD', journal) - SHARE
  if excess > 0 then
    forget(base, observer, redis.call('ZRANGE', journal, 0, excess - 1))
    redis.call('HINCRBY', base .. 'dropped', observer, excess)
  end
end
"""

FINISH: Final = f"""
-- Takes members out of a sorted set.
local function remove(key, members)
  for start = 1, #members, 1000 do
    redis.call('ZREM', key, unpack(members, start, math.min(start + 999, #members)))
  end
end

-- Ends some sessions of a bucket, and takes them out of its sets together.
local function finish(deadlines, owners, base, ended)
  if #ended == 0 then return end
  local observers = redis.call('SMEMBERS', base .. 'observers')
  local now = #observers > 0 and present()
  local sids, members, notices = {{}}, {{}}, {{}}
  for number, each in ipairs(ended) do
    local key = base .. 'session:' .. each.sid
    if now then write(base, observers, each, now) else redis.call('DEL', key) end
    redis.call('HSET', key, 'e', each.reason)
    redis.call('EXPIRE', key, {RETENTION:.0f})
    sids[number] = each.sid
    notices[number] = each.sid .. ' ' .. each.reason
    if each.owner then table.insert(members, memberOf(each.owner, each.sid)) end
  end
  remove(deadlines, sids)
  remove(owners, members)
  for _, observer in ipairs(observers) do trim(base, observer) end
  -- A hint: a user who may not publish ends sessions nevertheless.
  redis.pcall('PUBLISH', string.match(base, '^{{(.*):') .. ':ended', table.concat(notices, '\\n'))
end
"""


def writing(share: int) -> str:
    """
    The functions that write endings down.

    @param share: How many a bucket holds for one observer.
    """
    return f"local SHARE, HELD = {share}, {HELD * 1000:.0f}\n{_WRITE}"
