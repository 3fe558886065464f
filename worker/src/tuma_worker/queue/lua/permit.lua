-- Take the permit for one call that no job in the line asks for, such as an operator's question, or learn how long there is none.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 inflight  9 leases  10 used  11 state  12 crashes  13 bell
--       14... one list per limit, in the order of the configuration
-- ARGV  1 the call's id  2 who makes it  3 lease in ms  4 lane  5 messages that it may send  6 configuration, JSON as in claim
-- Returns {'granted'} · {'wait', ms, why} where why is one of blocked, pace, limit
--
-- It counts in the same windows as the claims do, and leaves the floors above its lane free. It stands in no line: who asks again when
-- told to may find that a claim was quicker. Pauses and halts are about sends; they do not hold it back. Its call is no send and is not
-- written down, so where its maker dies the permit counts until a grace after the lease, as that of every such call (recover.lua).
--
-- Repeatable: the id is the request's token; a repeat finds the permit held. One whose lease has lapsed meanwhile stands only for a call
-- that may have been made: the repeat waits until nothing has that id any more.
-- include: clock
-- include: ready
-- include: tuma_worker.queue/permits
-- include: tuma_worker.queue/known
-- include: tuma_worker.queue/held
-- include: tuma_worker.queue/room
-- include: tuma_worker.queue/line
-- include: tuma_worker.queue/state
-- include: tuma_worker.queue/fit
-- include: tuma_worker.queue/pace
-- include: tuma_worker.queue/recover

local config, now, lane = cjson.decode(ARGV[6]), clock(), tonumber(ARGV[4])
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7], inflight = KEYS[8],
  leases = KEYS[9], used = KEYS[10], state = KEYS[11], crashes = KEYS[12], bell = KEYS[13]}
local c = {k = k, config = config, limits = config.limits, now = now}

local repeated = held_get(k, ARGV[1])
if repeated and repeated.phase ~= 'claimed' then
  return {'wait', math.max(1, math.ceil(tonumber(redis.call('ZSCORE', k.leases, ARGV[1]) or now) - now)), 'limit'}
elseif repeated then
  -- Who asks counts its lease from this request, not from the first.
  redis.call('ZADD', k.leases, 'XX', 'GT', now + tonumber(ARGV[3]), ARGV[1])
  return {'granted'}
end

state_load(c)
for i, limit in ipairs(c.limits) do
  limit.key = KEYS[13 + i]
  permits_steered(limit, c.state['limit:' .. limit.name])
  known_here(k, c.state, limit, config.cold_start, now)
end
if recover_dead(k, c.limits, config, now) then  -- nobody else may be there to do it: a command needs no worker
  state_load(c)
end
permits_used(k.used, c.limits, now)

local weight = {calls = 1, messages = tonumber(ARGV[5])}
local function latest()
  local blocked = state_number(c, 'blocked_until')
  if blocked > now then
    return blocked, 'blocked'
  end
  local paced = pace_until(c, lane)
  if paced > now then
    return paced, 'pace'
  end
  return fit_at(c, lane, weight, weight), 'limit'
end

local free, why = latest()
if free > now then
  return {'wait', math.ceil(free - now), why}
end
local counted = {}
permits_count(k.used, c.limits, lane, weight, counted)
known_count(k, c.state, c.limits, lane, weight, now, counted)
local paced = held_listed(pace_book(c, lane, weight))
state_save(c)
held_new(k, {id = ARGV[1], lane = lane, source = SYSTEM, group = 'call.1.1.-', weight = weight, counted = held_listed(counted),
  worker = ARGV[2], paced = paced, items = {}}, now + tonumber(ARGV[3]))
return {'granted'}
