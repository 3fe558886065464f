-- Accept an intent: record, jobs and event appear together or not at all.
--
-- KEYS  1 profile  2 intent  3 entries  4 groups  5-7 sources of each lane  8 due  9 spent  10 state  11 bell  12 events
--       13 deadlines  14 idempotency, only where the intent has such a key
-- ARGV  1 short id  2 source  3 lane  4 group  5 ms that it is held back so that it can be withdrawn  6 expiry in Unix ms, +ms from now, or empty
--       7 body  8 digest of what the idempotency key stands for  9 its life in ms  10 length of the event stream
--       11... numbers
-- Returns {'accepted', short id} · {'duplicate', short id of the first} · {'conflict', short id of the first} · {'unknown-account'}
--
-- Repeatable: the id is the request's token; a repeat finds the record and answers as the first time.
-- include: clock
-- include: ready
-- include: body

local id, source, lane, group = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local now = clock()

if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'unknown-account'}
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {'accepted', id}
end

if KEYS[14] then
  local first = redis.call('GET', KEYS[14])
  if first then
    local first_id, digest = string.match(first, '^(%S+) (%S+)$')
    return {digest == ARGV[8] and 'duplicate' or 'conflict', first_id}
  end
  redis.call('SET', KEYS[14], id .. ' ' .. ARGV[8], 'PX', ARGV[9])
end

local expires = ARGV[6]
if string.sub(expires, 1, 1) == '+' then
  expires = now + tonumber(string.sub(expires, 2))
end

local count = #ARGV - 10
redis.call('HSET', KEYS[2], 'source', source, 'lane', lane, 'group', group, 'at', now, 'expires', expires,
  'open', count, 'seq', 1, unpack(body_fields(ARGV[7])))
for from = 11, #ARGV, 1000 do
  local fields = {}
  for i = from, math.min(from + 999, #ARGV) do
    fields[#fields + 1] = ARGV[i]
    fields[#fields + 1] = 'queued'
  end
  redis.call('HSET', KEYS[2], unpack(fields))
end

local k = {entries = KEYS[3], groups = KEYS[4], sources = {KEYS[5], KEYS[6], KEYS[7]}, spent = KEYS[9], state = KEYS[10],
  bell = KEYS[11]}
if expires ~= '' then
  -- Nobody is woken for it: whoever looks next, within seconds, sees that it has passed.
  redis.call('ZADD', KEYS[13], expires, id)
end

local due = now + tonumber(ARGV[5])
if due > now then
  redis.call('HSET', KEYS[2], 'until', due)  -- a pause takes it out of the due set, and a resumption must not cut this short
  local prefix = lane .. '|' .. source .. '|' .. group .. '|' .. id .. ':'
  for i = 11, #ARGV do
    redis.call('ZADD', KEYS[8], due, prefix .. ARGV[i])
  end
  if redis.call('ZCOUNT', KEYS[8], '-inf', '(' .. string.format('%.0f', due)) == 0 and redis.call('LLEN', k.bell) == 0 then
    redis.call('RPUSH', k.bell, 1)  -- it is the next one due: whoever holds the alarm must set it anew
  end
else
  local at, items = ready_time(now), {}
  for i = 11, #ARGV do
    items[#items + 1] = at
    items[#items + 1] = id .. ':' .. ARGV[i]
  end
  ready_push(k, lane, source, group, items)
  ready_ring(k, lane, now)
end

redis.call('XADD', KEYS[12], 'MAXLEN', '~', ARGV[10], '*', 'e', 'accepted', 'i', id, 's', source, 'q', 1, 'n', count)
return {'accepted', id}
