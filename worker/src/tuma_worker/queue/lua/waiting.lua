-- What a claim says when nothing may move: why, and for how long that stays so. Needs fit.lua, pace.lua and state.lua.
--
-- c: {k, config, state, now, worker, closed, closed_until, waits: {lane, at, why} of each lane that could go from a time on}; and what
-- is found out here: earliest, why, and the lane silent_from

local function wait_lanes(c)
  for _, one in ipairs(c.waits) do
    if not c.earliest or one.at < c.earliest then
      c.earliest, c.why, c.silent_from = one.at, one.why, math.min(c.silent_from or one.lane, one.lane)
    end
  end
end

-- An arrival in a lane that could not go either need not wake anybody before it could.
local function wait_silently(c)
  local silent, least = c.earliest, {calls = 1, messages = 1}
  for lane = c.silent_from, 2 do
    local at = math.max(pace_until(c, lane), fit_at(c, lane, least, least))
    silent = at > c.now and math.min(silent, at) or 0
  end
  state_set(c, 'silent_until', silent)
  state_set(c, 'silent_from', c.silent_from)
end

-- The first member of a set by its time may move something, whatever else waits.
local function wait_heed_first(c, key, why)
  local at = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or '')
  if at and (not c.earliest or at < c.earliest) then
    c.earliest, c.why = math.max(c.now + 1, at), c.why or why
  end
end

-- Whoever is told to wait for a time holds the alarm for it; the others sleep a little longer and take over if it does not ring.
local function wait_alarm(c)
  local alarm_at, alarm_by = state_number(c, 'alarm_at'), c.state.alarm_by
  if alarm_by and alarm_by ~= c.worker and alarm_at > c.now and alarm_at <= c.earliest then
    return alarm_at - c.now + 500
  end
  state_set(c, 'alarm_at', c.earliest)
  state_set(c, 'alarm_by', c.worker)
  return c.earliest - c.now
end

local function wait_answer(c)
  wait_lanes(c)
  if c.earliest then
    wait_silently(c)
  else
    state_clear(c, 'silent_until')
    state_clear(c, 'silent_from')
  end
  if c.closed then
    c.earliest, c.why = c.closed_until or c.earliest, c.closed
  end
  wait_heed_first(c, c.k.due, 'due')
  wait_heed_first(c, c.k.leases, 'idle')
  local ms = c.earliest and wait_alarm(c) or c.config.idle
  state_save(c)
  return {'wait', math.min(math.max(1, ms), c.config.idle), c.why or 'idle'}
end
