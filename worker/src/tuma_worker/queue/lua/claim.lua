-- Take a batch together with the permit to send it, or learn how long nothing may move. The limiter is asked here and nowhere else.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 inflight  9 leases  10 used  11 state  12 crashes  13 bell
--       14 deadlines  15... one list per limit, in the order of the configuration
-- ARGV  1 batch id  2 worker  3 lease in ms  4 '1' if the worker will claim no further job after this one
--       5 configuration, JSON: {limits: [{name, unit, count, window}], floors: [3], paced: [3], batch_max, segments, messages_per_call,
--         cold_start, grace, idle, promote, crashes, guard}; times in ms
-- Returns {'batch', lane, source, group, time, subject, time, subject, ...}
--       · {'wait', ms, why} where why is one of idle, due, limit, pace, blocked, probing, paused, halted
--
-- Repeatable: the batch id is the request's token; a repeat finds its batch in flight and gets the same answer.
-- include: clock
-- include: ready
-- include: tuma_worker.queue/permits
-- include: tuma_worker.queue/known
-- include: tuma_worker.queue/held
-- include: tuma_worker.queue/room
-- include: tuma_worker.queue/recover
-- include: tuma_worker.queue/line

local batch, worker, lease, last = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local config = cjson.decode(ARGV[5])
local now = clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7], inflight = KEYS[8],
  leases = KEYS[9], used = KEYS[10], state = KEYS[11], crashes = KEYS[12], bell = KEYS[13],
  deadlines = KEYS[14]}
local limits = config.limits

local function answer(held)
  return {'batch', held.lane, held.source, held.group, unpack(held.items)}
end

local repeated = held_get(k, batch)
if repeated then
  redis.call('ZADD', k.leases, 'XX', 'GT', now + lease, batch)  -- the worker counts its lease from this request, not from the first
  return answer(repeated)
end

local state = {}
do
  local flat = redis.call('HGETALL', k.state)
  for i = 1, #flat, 2 do
    state[flat[i]] = flat[i + 1]
  end
end

permits_steer(limits, k.state)
for i, limit in ipairs(limits) do
  limit.key = KEYS[14 + i]
  known_here(k, state, limit, config.cold_start, now)
end

recover_dead(k, limits, config, now)
recover_due(k, config.promote, now)
recover_late(k, config.promote, now)
for _, limit in ipairs(limits) do
  limit.used = permits_used(k.used, limit, now)
end

-- How many times in a row a higher lane went while this one waited and could have gone: of transactional, of bulk.
local passed_over = {}
passed_over[1], passed_over[2] = string.match(state.passed_over or '0 0', '^(%d+) (%d+)$')

-- Strict order, over floors; but a lane that was passed over too often goes first for once, and no floor is kept from it.
local favoured = nil
for lane = 2, 1, -1 do
  if config.guard > 0 and tonumber(passed_over[lane]) >= config.guard then
    favoured = lane
  end
end
local NO_FLOORS = {0, 0, 0}
local function floors_for(lane)
  return lane == favoured and NO_FLOORS or config.floors
end

-- A weight fits a lane if it fits every limit. Returns the time from which it may.
local function fits_at(lane, weight)
  local at = now
  for _, limit in ipairs(limits) do
    local wanted = permits_weight(limit, weight)
    if wanted > 0 then
      at = math.max(at, room_at(limit, lane, floors_for(lane), now, wanted))
    end
  end
  return at
end

-- The messages that a lane may send now; a billion where nothing limits them.
local function messages_left(lane, segments)
  local left = 1000000000
  for _, limit in ipairs(limits) do
    if limit.unit == 'messages' then
      left = math.min(left, math.floor(room_left(limit, lane, floors_for(lane), now, segments)))
    end
  end
  return left
end

-- The source of the call that asks the provider whether a halted account may go on. It goes while the account is halted, and counts
-- against the limits like any other. No service can have this name.
local PROBE = '~probe'

-- Why no call may be made now, and until when that is known to last; nil where one may.
local function closed()
  if state.half_open and not state.probing then
    state.probing = 'next'  -- nothing but a send can tell whether the fault is over: one goes, and its answer decides
  end
  if state.halt and not state.half_open then
    return 'halted'
  elseif state.paused then
    return 'paused'
  elseif state.blocked_until then
    if now < tonumber(state.blocked_until) then
      return 'blocked', tonumber(state.blocked_until)
    end
    -- The block is over: one call goes first, and the others follow when it has been answered.
    redis.call('HDEL', k.state, 'blocked_until')
    redis.call('HSET', k.state, 'probing', 'next')
    state.probing = 'next'
  elseif state.probing and state.probing ~= 'next' then
    if redis.call('HEXISTS', k.inflight, state.probing) == 1 then
      return 'probing'
    end
    state.probing = 'next'  -- the probe's worker died
  end
end
local closed_why, closed_until = closed()

-- The system's jobs and the calls take turns where both could go: a thousand deadlines in one second must not hold up a password.
local others_turn = state.turn == 'others'

local SOURCES_AT_ONCE = 100

-- The waiting source that has used the least, passing over paused ones. The system's own jobs make no calls: they go
-- whatever is closed or paused, and first where it is not the others' turn.
local function next_source(lane)
  if lane == 0 and not others_turn and redis.call('ZSCORE', k.sources[1], SYSTEM) then
    return SYSTEM
  end
  if closed_why == 'halted' and lane == 0 and not state.paused and now >= tonumber(state.blocked_until or 0)
    and redis.call('ZSCORE', k.sources[1], PROBE) then
    return PROBE
  end
  if closed_why or state['paused:lane:' .. lane] then
    return nil
  end
  local from = 0
  repeat
    local sources = redis.call('ZRANGE', k.sources[lane + 1], from, from + SOURCES_AT_ONCE - 1)
    for _, source in ipairs(sources) do
      if source ~= SYSTEM and not state['paused:source:' .. source] then
        return source
      end
    end
    from = from + SOURCES_AT_ONCE
  until #sources < SOURCES_AT_ONCE
end

-- Sources share by what they use of the scarcest limit. The system's own jobs go out of turn and leave the shares alone. Paused sources
-- keep up with the lane: they get no credit for having been paused, or the first to be resumed would shut out the others.
local function charge(lane, source, weight, jobs)
  local sources = k.sources[lane + 1]
  if source ~= SYSTEM then
    local cost = #limits == 0 and jobs or 0
    for _, limit in ipairs(limits) do
      cost = math.max(cost, permits_weight(limit, weight) / limit.count)
    end
    local share = redis.call('ZSCORE', sources, source)
    redis.call('HSET', k.state, 'share:' .. lane, share)
    for field in pairs(state) do
      local paused = string.match(field, '^paused:source:(.*)$')
      if paused then
        redis.call('ZADD', sources, 'XX', 'GT', share, paused)
      end
    end
    redis.call('ZINCRBY', sources, string.format('%.17g', cost), source)
  end
  ready_leave(k, lane, source)
end

-- Paced lanes: each call books its share of the window. What was missed by waking late may be caught up within a hundredth of it.
local function book(lane, weight)
  if not config.paced[lane + 1] or weight.calls == 0 then
    return
  end
  for _, limit in ipairs(limits) do
    local most = room_most(limit, lane, floors_for(lane), permits_weight(limit, weight))
    local span = permits_weight(limit, weight) / most * limit.window
    local field = 'pace:' .. lane .. ':' .. limit.name
    local from = math.max(now - limit.window / 100, tonumber(state[field] or 0))
    redis.call('HSET', k.state, field, string.format('%.3f', from + span))
  end
end

-- `as` is the group the batch goes by where that is not the one it was taken from.
local function take(lane, source, group, at, segments, members, items, as)
  line_take(k, lane .. '|' .. source .. '|', at, group, members)
  local weight = {calls = segments > 0 and 1 or 0, messages = segments * #members}
  local counting = known_others(k, state, limits, now)
  for _, limit in ipairs(limits) do
    counting[#counting + 1] = limit
  end
  permits_count(k.used, counting, lane, weight)

  charge(lane, source, weight, #members)
  book(lane, weight)
  if state.probing and weight.calls > 0 then
    redis.call('HSET', k.state, 'probing', batch)
  end
  local held = {id = batch, lane = lane, source = source, group = as or group, weight = weight,
    counted = held_count(counting, weight), worker = worker, items = items}
  held_put(k, held, 'claimed')
  redis.call('HSET', k.inflight, batch .. ':items', table.concat(items, ' '))
  redis.call('ZADD', k.leases, now + lease, batch)
  return held
end

-- Whether a job of so many segments is heavier than a whole window: no waiting would ever make room for it.
local function overweight(segments)
  for _, limit in ipairs(limits) do
    if permits_weight(limit, {calls = 1, messages = segments}) > limit.count then
      return true
    end
  end
  return false
end

-- The most messages that the limits can ever leave to a lane at once.
local function messages_most(lane, segments)
  local most = 1000000000
  for _, limit in ipairs(limits) do
    if limit.unit == 'messages' then
      most = math.min(most, room_most(limit, lane, floors_for(lane), segments))
    end
  end
  return most
end

-- From when a paced lane may go; the past where it is not paced or has fallen behind.
local function paced_until(lane)
  local at = 0
  if config.paced[lane + 1] then
    for _, limit in ipairs(limits) do
      at = math.max(at, tonumber(state['pace:' .. lane .. ':' .. limit.name] or 0))
    end
  end
  return math.ceil(at)
end

-- Try one lane. Returns the batch; or the time from which it may go and why; or nothing where it has no work.
local function try(lane)
  local source = next_source(lane)
  if not source then
    return nil
  end
  local at, group = line_group(k, lane, source)
  if not group then
    ready_leave(k, lane, source)  -- its last group was taken from outside: it must not hold up the others
    return try(lane)
  end
  local segments, most = line_kind(config, group)
  local prefix = lane .. '|' .. source .. '|' .. group .. '|'
  if segments == 0 then
    local members, items = line_pick(k, prefix, most)
    return take(lane, source, group, at, segments, members, items)
  end
  if overweight(segments) then
    local members, items = line_pick(k, prefix, most)
    return take(lane, source, group, at, 0, members, items, 'overweight.0.0.-')
  end

  local paced = paced_until(lane)
  if paced > now then
    return nil, paced, 'pace'
  end
  local free = fits_at(lane, {calls = 1, messages = segments})
  if free > now then
    return nil, free, 'limit'
  end
  local room = math.max(1, math.floor(messages_left(lane, segments) / segments))
  local members, items = line_pick(k, prefix, math.min(most, room))
  -- With few messages left in the window, small calls would use up the calls before the messages: below the ratio of the two
  -- limits wait for more room, if there are jobs to fill it. One-time passwords never wait for company.
  if lane > 0 and #members >= room then
    local worth = math.min(most, math.ceil(config.messages_per_call / segments), math.floor(messages_most(lane, segments) / segments))
    if room < worth then
      local more = line_pick(k, prefix, worth)
      if #more > #members then
        return nil, fits_at(lane, {calls = 1, messages = #more * segments}), 'limit'
      end
    end
  end
  return take(lane, source, group, at, segments, members, items)
end

-- Whoever is told to wait for a time holds the alarm for it; the others sleep a little longer and take over if it does not ring.
local function wait(at, why)
  local alarm_at, alarm_by = tonumber(state.alarm_at or 0), state.alarm_by
  local ms = at - now
  if alarm_by and alarm_by ~= worker and alarm_at > now and alarm_at <= at then
    ms = alarm_at - now + 500
  else
    redis.call('HSET', k.state, 'alarm_at', at, 'alarm_by', worker)
  end
  return {'wait', math.min(math.max(1, ms), config.idle), why}
end

-- A lane that is not due yet by its pace does not wait for the others.
local function could_go(lane)
  return next_source(lane) ~= nil and paced_until(lane) <= now
end

-- A call of this lane goes before those of the lanes below it.
local function pass_over(lane)
  if config.guard == 0 then
    return
  end
  passed_over[lane] = 0
  for below = lane + 1, 2 do
    passed_over[below] = could_go(below) and passed_over[below] + 1 or 0
  end
  local text = passed_over[1] .. ' ' .. passed_over[2]
  if text ~= (state.passed_over or '0 0') then
    if text == '0 0' then
      redis.call('HDEL', k.state, 'passed_over')
    else
      redis.call('HSET', k.state, 'passed_over', text)
    end
  end
end

local function given(taken, lane)
  if taken.source == SYSTEM then
    redis.call('HSET', k.state, 'turn', 'others')
  else
    if state.turn then
      redis.call('HDEL', k.state, 'turn')
    end
    pass_over(lane)
  end
  if last and (redis.call('ZCARD', k.groups) > 0 or redis.call('ZCARD', k.due) > 0) then
    redis.call('HDEL', k.state, 'alarm_at', 'alarm_by')
    if redis.call('LLEN', k.bell) == 0 then
      redis.call('RPUSH', k.bell, 1)  -- this worker is full: the next one takes over the watch
    end
  end
  return answer(taken)
end

local earliest, why, held = nil, nil, nil
for _, lane in ipairs(favoured == 2 and {2, 0, 1} or favoured == 1 and {1, 0, 2} or {0, 1, 2}) do
  local taken, at, reason = try(lane)
  if taken then
    return given(taken, lane)
  end
  if at and (not earliest or at < earliest) then
    earliest, why, held = at, reason, math.min(held or lane, lane)
  end
  if reason == 'limit' and lane ~= favoured then
    break  -- a lower lane must not take what a higher one is waiting for
  end
end

if others_turn then
  others_turn = false  -- none of them can go
  if next_source(0) == SYSTEM then
    return given(try(0), 0)
  end
end

-- An arrival in a lane that could not go either need not wake anybody before it could.
if earliest then
  local quiet = earliest
  for lane = held, 2 do
    local at = math.max(paced_until(lane), fits_at(lane, {calls = 1, messages = 1}))
    if at > now then
      quiet = math.min(quiet, at)
    else
      quiet = 0
    end
  end
  redis.call('HSET', k.state, 'quiet_until', quiet, 'quiet_from', held)
end

if closed_why then
  earliest, why = closed_until or earliest, closed_why
end
local next_due = redis.call('ZRANGE', k.due, 0, 0, 'WITHSCORES')[2]
if next_due and (not earliest or tonumber(next_due) < earliest) then
  earliest, why = math.max(now + 1, tonumber(next_due)), why or 'due'
end
local next_lease = redis.call('ZRANGE', k.leases, 0, 0, 'WITHSCORES')[2]
if next_lease and (not earliest or tonumber(next_lease) < earliest) then
  earliest, why = math.max(now + 1, tonumber(next_lease)), why or 'idle'
end
if earliest then
  return wait(earliest, why)
end
return {'wait', config.idle, why or 'idle'}
