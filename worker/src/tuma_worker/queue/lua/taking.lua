-- Taking a batch: out of the line, into flight, counted, and charged to its source. Needs ready.lua, permits.lua, known.lua, held.lua,
-- line.lua, state.lua and pace.lua.
--
-- c: {k, config, limits, state, now, batch, worker, lease}

-- Sources share by what they use of the scarcest limit. The system's own jobs go out of turn and leave the shares alone. Paused sources
-- keep up with the lane: they get no credit for having been paused, or the first to be resumed would shut out the others.
local function take_charge(c, lane, source, weight, jobs)
  local cost, sources = #c.limits == 0 and jobs or 0, c.k.sources[lane + 1]
  for _, limit in ipairs(c.limits) do
    cost = math.max(cost, permits_weight(limit, weight) / limit.count)
  end
  local share = redis.call('ZSCORE', sources, source)
  for field in pairs(c.state) do
    local paused = string.match(field, '^paused:source:(.*)$')
    if paused then
      redis.call('ZADD', sources, 'XX', 'GT', share, paused)
    end
  end
  redis.call('ZINCRBY', sources, string.format('%.17g', cost), source)
  state_set(c, 'share:' .. lane, share)
end

-- Under our own limits, and under those that other workers keep.
local function take_count(c, lane, weight)
  local counted = {}
  if weight.calls > 0 then
    permits_count(c.k.used, c.limits, lane, weight, counted)
    known_count(c.k, c.state, c.limits, lane, weight, c.now, counted)
  end
  return held_listed(counted)
end

-- chosen: {lane, source, at and group of what is taken, segments, picked, as}; `as` is the group that the batch goes by. Jobs of segments 0
-- make no call.
local function take(c, chosen)
  local lane, source, picked = chosen.lane, chosen.source, chosen.picked
  line_take(c.k, lane .. '|' .. source .. '|', chosen.at, chosen.group, picked)
  local weight = {calls = chosen.segments > 0 and 1 or 0, messages = chosen.segments * #picked.members}
  local counted = take_count(c, lane, weight)
  if source ~= SYSTEM then
    take_charge(c, lane, source, weight, #picked.members)
  end
  if not picked.head then
    ready_leave(c.k, lane, source)
  end
  local paced = held_listed(pace_book(c, lane, weight))
  if c.state.probing and weight.calls > 0 then
    state_set(c, 'probing', c.batch)
  end
  local held = {id = c.batch, lane = lane, source = source, group = chosen.as, weight = weight, counted = counted, worker = c.worker,
    paced = paced, items = picked.items}
  held_new(c.k, held, c.now + c.lease)
  return held
end
