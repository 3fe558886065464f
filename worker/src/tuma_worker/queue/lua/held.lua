-- What a worker holds: a batch in flight with its jobs and its permit. Needs ready.lua and permits.lua.
--
-- inflight: batch id -> `phase lane source group calls messages limits worker`; `id:items` -> `time subject time subject ...`
-- limits names those that the permit was counted against: a worker with another configuration must not uncount it elsewhere.
-- phase: claimed (no call yet) · calling (an attempt is written down, its call may be made) · ended (only the permit still counts)

local function held_split(text)
  local parts = {}
  for part in string.gmatch(text, '%S+') do
    parts[#parts + 1] = part
  end
  return parts
end

local function held_get(k, id)
  local packed = redis.call('HMGET', k.inflight, id, id .. ':items')
  if not packed[1] then
    return nil
  end
  local f = held_split(packed[1])
  return {id = id, phase = f[1], lane = tonumber(f[2]), source = f[3], group = f[4],
    weight = {calls = tonumber(f[5]), messages = tonumber(f[6])}, limits = f[7] or '',
    worker = f[8] or '', items = held_split(packed[2] or '')}
end

local function held_put(k, held, phase)
  redis.call('HSET', k.inflight, held.id, table.concat({phase, held.lane, held.source, held.group, held.weight.calls,
    held.weight.messages, held.limits, held.worker}, ' '))
end

local function held_names(limits)
  local names = {}
  for i, limit in ipairs(limits) do
    names[i] = limit.name
  end
  return ',' .. table.concat(names, ',') .. ','
end

-- Those of the configured limits that this permit was counted against.
local function held_limits(limits, held)
  local counted = {}
  for _, limit in ipairs(limits) do
    if string.find(held.limits, ',' .. limit.name .. ',', 1, true) then
      counted[#counted + 1] = limit
    end
  end
  return counted
end

local function held_drop(k, held)
  redis.call('HDEL', k.inflight, held.id, held.id .. ':items')
  redis.call('ZREM', k.leases, held.id)
end

-- Something became possible that no alarm foresaw.
local function held_wake(k)
  redis.call('HDEL', k.state, 'quiet_until', 'quiet_from')
  if redis.call('LLEN', k.bell) == 0 then
    redis.call('RPUSH', k.bell, 1)
  end
end

-- No call was made: the permit is void.
local function held_void(k, limits, held)
  permits_count(k.used, held_limits(limits, held), held.lane, held.weight, -1)
  held_drop(k, held)
  held_wake(k)
end

-- The call ended now.
local function held_end(k, limits, held, now)
  if held.weight.calls > 0 then
    permits_end(held_limits(limits, held), held.lane, held.weight, now)
  end
  held_drop(k, held)
end

-- The call may still be under way: the permit ends a grace from now.
local function held_grace(k, held, now, grace)
  held_put(k, held, 'ended')
  redis.call('HDEL', k.inflight, held.id .. ':items')
  redis.call('ZADD', k.leases, now + grace, held.id)
end
