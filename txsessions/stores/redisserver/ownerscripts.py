"""
The scripts that let owners in, and put them out.
"""

from __future__ import annotations

from typing import Final

from ...lifetime import REVOKED
from ..fence import DURATION

RESERVATION: Final = 3.0
"""
How long a log-in stays in the line of its owner when nothing is heard of it, in
seconds.  It takes some milliseconds, so that is long enough for a server that
hangs for a while; and when a process dies in the midst of it, those behind it
wait no longer than this, which is less than a request waits for a save.
"""

PROBE: Final = b"probe"
"""
In place of the moment until which a log-in may be made: only look whether it
could be.
"""

RESERVE: Final = f"""
local line, until_, ticket = KEYS[1], KEYS[2], ARGV[1]
local now = present()
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', until_, '-inf', exact(now))) do
  redis.call('ZREM', line, gone)
  redis.call('ZREM', until_, gone)
end
local place = redis.call('ZSCORE', line, ticket)
if not place then
  local last = redis.call('ZRANGE', line, -1, -1, 'WITHSCORES')[2]
  place = exact((tonumber(last) or 0) + 1)
  redis.call('ZADD', line, place, ticket)
end
local till = exact(now + {RESERVATION})
redis.call('ZADD', until_, till, ticket)
-- So late that nothing is left which could count.
redis.call('PEXPIRE', line, {RESERVATION * 20000:.0f})
redis.call('PEXPIRE', until_, {RESERVATION * 20000:.0f})
return {{till, redis.call('ZRANGEBYSCORE', line, '-inf', '(' .. place)}}
"""

FENCE: Final = f"""
local till, authenticated = ARGV[#ARGV], ARGV[#ARGV - 1]
table.remove(ARGV)
table.remove(ARGV)
if authenticated ~= '' then
  local fence = redis.call('GET', KEYS[5])
  if fence and tonumber(authenticated) < tonumber(fence) then
    local ended = {{sid = sid, reason = '{REVOKED}', owner = record.owner}}
    finish(deadlines, owners, baseOf(key), {{ended}})
    return {{'ended', '{REVOKED}'}}
  end
end
if till == '{PROBE.decode()}' then return {{'ready'}} end
if till ~= '' and present() >= tonumber(till) then return {{'late'}} end
"""
"""
Between the check whether a change applies, and applying it.
"""

END_OWNED: Final = f"""
local fence, count = KEYS[#KEYS], (#KEYS - 1) / 3
local moment, reason, except, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local room, number, after = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local last = redis.call('GET', fence)
if not last or tonumber(last) < tonumber(moment) then last = moment end
-- What takes nothing comes first: then memory that is full is no obstacle.
redis.call('DEL', fence)
redis.call('SET', fence, last, 'PX', {DURATION * 1000:.0f})
local tag = memberOf(owner, '')
local claimed = {{}}
while number <= count do
  local deadlines, owners = KEYS[3 * number - 2], KEYS[3 * number - 1]
  local base = baseOf(deadlines)
  if after == '' then after = '[' .. tag end
  local stop = '(' .. string.sub(tag, 1, -2) .. ';'
  local members = redis.call('ZRANGEBYLEX', owners, after, stop, 'LIMIT', 0, room)
  local ended = {{}}
  for _, member in ipairs(members) do
    local sid = string.sub(member, #tag + 1)
    local record, problem, fields = readWhole(base .. 'session:' .. sid)
    if problem == 'damaged' then
      putAside(base .. 'session:' .. sid, deadlines, owners, base .. 'damaged:' .. sid, sid)
      redis.call('ZREM', owners, member)
      table.insert(claimed, {{sid}})
    elseif problem or memberOf(record.owner or '', sid) ~= member then
      redis.call('ZREM', owners, member)
    elseif record.owner == owner and sid ~= except then
      table.insert(claimed, {{sid, reason, fields}})
      table.insert(ended, {{sid = sid, reason = reason, owner = owner}})
    end
  end
  finish(deadlines, owners, base, ended)
  room = room - #members
  if room == 0 then return {{claimed, number, '(' .. members[#members]}} end
  number, after = number + 1, ''
end
return {{claimed, 0, ''}}
"""
