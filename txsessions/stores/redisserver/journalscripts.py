"""
The scripts of the journal, on some buckets: all of them on one server, one on a
Cluster.

An entry is the hash that was the record, with further fields: why it ended
(C{r}) and when (C{t}), how many have still to be told (C{h}, holders), and for
each of them how often it was given to him (C{#} and the name).
"""

from __future__ import annotations

from typing import Final

from ..journal import RETENTION

ENROL: Final = """
for _, observers in ipairs(KEYS) do redis.call('SADD', observers, ARGV[1]) end
return 1
"""

DISMISS: Final = """
local observer, room = ARGV[1], tonumber(ARGV[2])
for _, observers in ipairs(KEYS) do
  local base = baseOf(observers)
  redis.call('SREM', observers, observer)
  redis.call('HDEL', base .. 'dropped', observer)
  if room > 0 then
    local ids = redis.call('ZRANGE', base .. 'journal:' .. observer, 0, room - 1)
    forget(base, observer, ids)
    room = room - #ids
  end
end
return room
"""

PEEK_ENDINGS: Final = """
local now = exact(present())
local found, dropped = {}, {}
for number, journal in ipairs(KEYS) do
  found[number] = redis.call('ZRANGEBYSCORE', journal, '-inf', now, 'LIMIT', 0, ARGV[1])
  local key = baseOf(journal) .. 'dropped'
  local counts = redis.call('HGETALL', key)
  if #counts > 0 then
    redis.call('DEL', key)
    table.insert(dropped, counts)
  end
end
return {found, dropped}
"""

TAKE: Final = f"""
local observer, lease = ARGV[1], tonumber(ARGV[2])
local now, taken, lost = present(), {{}}, 0
for number = 1, #KEYS / 2 do
  local journal, entry, id = KEYS[2 * number - 1], KEYS[2 * number], ARGV[number + 2]
  local since = redis.call('ZSCORE', journal, id)
  if since and tonumber(since) <= now then
    local moment = tonumber(redis.call('HGET', entry, 't'))
    if moment and moment + {RETENTION} > now then
      redis.call('ZADD', journal, exact(now + lease), id)
      redis.call('HINCRBY', entry, '#' .. observer, 1)
      table.insert(taken, {{id, redis.call('HGETALL', entry)}})
    else
      forget(baseOf(journal), observer, {{id}})
      lost = lost + 1
    end
  end
end
return {{taken, lost}}
"""

ACKNOWLEDGE: Final = """
for number = 1, #KEYS / 2 do
  forget(baseOf(KEYS[2 * number]), ARGV[1], {ARGV[number + 1]})
end
return 1
"""
