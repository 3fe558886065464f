-- Take a batch together with the permit to send it, or learn how long nothing may move. The limiter is asked here and nowhere else.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 inflight  9 leases  10 used  11 state  12 crashes  13 bell
--       14 deadlines  15... one list per limit, in the order of the configuration
-- ARGV  1 batch id  2 worker  3 lease in ms  4 '1' if the worker will claim no further job after this one
--       5 configuration, JSON: {limits: [{name, unit, count, window}], floors: [3], paced: [3], batch_max, segments, messages_per_call,
--         cold_start, grace, idle, promote, crashes, guard}; times in ms
--       6 which numbers may be called now, where the account has quiet hours, else empty; hours.lua says how
-- Returns {'batch', lane, source, group, time, subject, time, subject, ...}
--       · {'wait', ms, why} where why is one of idle, due, limit, pace, blocked, probing, paused, halted, quiet
--       · {'stale', now} where that table is not right at this time
--
-- To make a function takes time in every call: parts that are not always needed are included where they are.
--
-- Repeatable: the batch id is the request's token; a repeat finds its batch in flight and gets the same answer, as long as the lease lasts.
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
-- include: tuma_worker.queue/choice
-- include: tuma_worker.queue/hours

local config, now = cjson.decode(ARGV[5]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7], inflight = KEYS[8],
  leases = KEYS[9], used = KEYS[10], state = KEYS[11], crashes = KEYS[12], bell = KEYS[13],
  deadlines = KEYS[14]}
local c = {k = k, config = config, limits = config.limits, now = now, batch = ARGV[1], worker = ARGV[2], lease = tonumber(ARGV[3]),
  last = ARGV[4] == '1', waits = {}}

local function answer(held)
  return {'batch', held.lane, held.source, held.group, unpack(held.items)}
end

local repeated = held_get(k, c.batch)
if repeated and repeated.phase ~= 'claimed' then
  return {'wait', 1, 'idle'}  -- the lease has lapsed meanwhile; the id still stands for the permit
elseif repeated then
  -- The worker counts its lease from this request, not from the first.
  redis.call('ZADD', k.leases, 'XX', 'GT', now + c.lease, c.batch)
  return answer(repeated)
end

local hours = ARGV[6] ~= '' and hours_read(ARGV[6]) or nil
if hours and (now < hours.from or now >= hours.to) then
  return {'stale', now}
end

-- The limits as they are now, and what has moved by itself since somebody looked.
state_load(c)
for i, limit in ipairs(c.limits) do
  limit.key = KEYS[14 + i]
  permits_steered(limit, c.state['limit:' .. limit.name])
  known_here(k, c.state, limit, config.cold_start, now)
end
local function is_over(key)
  return redis.call('ZRANGE', key, '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1] ~= nil
end
if is_over(k.leases) or is_over(k.due) or is_over(k.deadlines) then
-- include: tuma_worker.queue/recover
  if recover_dead(k, c.limits, config, now) then
    state_load(c)
  end
  recover_due(k, config.promote, now)
  recover_late(k, config.promote, now)
end
permits_used(k.used, c.limits, now)

-- Try one lane. Returns what to take of it; or the time from which it may go and why; or nothing where it has no work.
local function try(lane)
  local source = choice_source(c, lane)
  if not source then
    return nil
  end
  local at, group = line_group(k, lane, source)
  if not group then
    choice_drop(c, lane, source)
    return try(lane)
  end
  local segments, most = line_kind(config, group)
  local prefix = lane .. '|' .. source .. '|' .. group .. '|'
  local chosen = {lane = lane, source = source, at = at, group = group, segments = segments, as = group}
  if segments > 0 and fit_never(c, segments) then
    chosen.segments, chosen.as = 0, 'overweight.0.0.-'
  end
  if chosen.segments == 0 then
    chosen.picked = line_pick(k, prefix, most)
    return chosen
  end

  if hours_concern(hours, lane, group) then
    local quiet = hours_sort(k, hours, lane, source, group, most)
    if #quiet.members > 0 and hours.action == 'expire' then
      chosen.segments, chosen.as, chosen.picked = 0, 'quiet.0.0.-', quiet
      return chosen
    elseif #quiet.members > 0 then
      hours_put_off(k, hours, lane, source, at, group, quiet)
      if hours.left <= 0 then
        return nil, now + 1, 'quiet'  -- the next claim goes on
      end
      return try(lane)
    end
  end

  local paced = pace_until(c, lane)
  if paced > now then
    return nil, paced, 'pace'
  end
  local one = {calls = 1, messages = segments}
  local free = fit_at(c, lane, one, one)
  if free > now then
    return nil, free, 'limit'
  end
  local room = math.max(1, math.floor(fit_messages(c, lane, segments) / segments))
  chosen.picked = line_pick(k, prefix, math.min(most, room))
  -- One-time passwords never wait for company, nor does a lane whose turn is only now.
  local later = lane > 0 and lane ~= c.favoured and #chosen.picked.members >= room and fit_company(c, lane, prefix, segments, most, room)
  if later then
    return nil, later, 'limit'
  end
  return chosen
end

local function choose()
  for _, lane in ipairs(choice_order(c)) do
    local chosen, at, why = try(lane)
    if chosen then
      return chosen
    end
    if at then
      c.waits[#c.waits + 1] = {lane = lane, at = at, why = why}
    end
    if why == 'limit' and lane ~= c.favoured then
      break  -- a lower lane must not take what a higher one is waiting for
    end
  end
  if c.others_turn then
    c.others_turn = false  -- none of them can go
    return choice_source(c, 0) == SYSTEM and try(0)
  end
end

choice_begin(c)
local chosen = choose()
if not chosen then
-- include: tuma_worker.queue/waiting
  return wait_answer(c)
end

-- include: tuma_worker.queue/taking
local taken = take(c, chosen)
choice_went(c, chosen.lane, chosen.source)
if c.last and (redis.call('ZCARD', k.groups) > 0 or redis.call('ZCARD', k.due) > 0) then
  state_clear(c, 'alarm_at')
  state_clear(c, 'alarm_by')
  if redis.call('LLEN', k.bell) == 0 then
    redis.call('RPUSH', k.bell, 1)  -- this worker is full: the next one takes over the watch
  end
end
state_save(c)
return answer(taken)
