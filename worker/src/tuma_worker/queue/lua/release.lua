-- Let go of a batch whose attempt was never begun: finished, back in its place, or put off; or after a call that was no send.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 inflight  9 leases  10 used  11 state  12 bell
--       13... one list per limit
-- ARGV  1 batch id  2 'done', 'called', 'back', 'later' or 'again'  3 for 'later' and 'again': delay in ms  4 limits, JSON as in claim
--       5 for how many ms nothing may be called, because the provider said so; 0: it did not  6 what the provider says is left, JSON:
--         {limit name: how much}, or empty where it does not
-- Returns 'released', or 'lost' where the lease is gone or an attempt has begun: then nothing is changed.
--
-- Repeatable: a repeat finds nothing held.
-- include: clock
-- include: ready
-- include: tuma_worker.queue/permits
-- include: tuma_worker.queue/known
-- include: tuma_worker.queue/held

local now = clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7], inflight = KEYS[8],
  leases = KEYS[9], used = KEYS[10], state = KEYS[11], bell = KEYS[12]}
local limits = cjson.decode(ARGV[4])
permits_steer(limits, k.state)
for i, limit in ipairs(limits) do
  limit.key = KEYS[12 + i]
end
local held = held_get(k, ARGV[1])
if not held or held.phase ~= 'claimed' then
  return 'lost'
end
if ARGV[6] ~= '' then
-- include: tuma_worker.queue/quotas
  quotas_heed(k.used, limits, cjson.decode(ARGV[6]), now)
end
if ARGV[2] == 'back' then
  ready_push(k, held.lane, held.source, held.group, held.items)
elseif ARGV[2] == 'later' or ARGV[2] == 'again' then
  for i = 2, #held.items, 2 do
    redis.call('ZADD', k.due, now + tonumber(ARGV[3]), table.concat({held.lane, held.source, held.group, held.items[i]}, '|'))
  end
  held_wake(k)  -- it may be the next one due
end
if ARGV[2] == 'called' or ARGV[2] == 'again' then
  held_end(k, limits, held, now)
else
  held_void(k, held)
end
local blocked = tonumber(ARGV[5])
if blocked > 0 then
  local before = tonumber(redis.call('HGET', k.state, 'blocked_until') or 0)
  redis.call('HSET', k.state, 'blocked_until', string.format('%.0f', math.max(now + blocked, before)))
  redis.call('HDEL', k.state, 'probing')  -- after the block one call goes first
end
return 'released'
