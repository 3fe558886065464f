-- What a worker holds: a batch in flight with its jobs and its permit. Needs permits.lua and known.lua.
--
-- inflight: batch id -> `phase lane source group calls messages counted worker paced`; `id:items` -> `time subject time subject ...`
-- counted: `limit=weight,limit=weight` as it was counted, or `-`: whoever ends the hold, with whatever configuration, uncounts just that.
-- paced: `limit=ms,limit=ms` as the lane's pace was booked, or `-`: given back with a permit that is void. Absent where an older worker
-- wrote.
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
    weight = {calls = tonumber(f[5]), messages = tonumber(f[6])}, counted = f[7],
    worker = f[8], paced = f[9] or '-', items = held_split(packed[2] or '')}
end

local function held_packed(held, phase)
  return table.concat({phase, held.lane, held.source, held.group, held.weight.calls, held.weight.messages, held.counted, held.worker,
    held.paced}, ' ')
end

local function held_new(k, held, lease_ends)
  redis.call('HSET', k.inflight, held.id, held_packed(held, 'claimed'), held.id .. ':items', table.concat(held.items, ' '))
  redis.call('ZADD', k.leases, lease_ends, held.id)
end

-- What was counted or booked, for each limit as `name=amount`.
local function held_listed(amounts)
  return #amounts > 0 and table.concat(amounts, ',') or '-'
end

-- Name and amount of each limit of such a list.
local function held_each(listed)
  return string.gmatch(listed, '([^,]+)=([^,]+)')
end

local function held_drop(k, held)
  redis.call('HDEL', k.inflight, held.id, held.id .. ':items')
  redis.call('ZREM', k.leases, held.id)
end

-- Something became possible that no alarm foresaw.
local function held_wake(k)
  redis.call('HDEL', k.state, 'silent_until', 'silent_from')
  if redis.call('LLEN', k.bell) == 0 then
    redis.call('RPUSH', k.bell, 1)
  end
end

-- No call was made: the permit is void, and so is the time for which its lane would have waited after it. Of a pace that a change of the
-- limit has begun anew, nothing is left to give back.
local function held_void(k, held)
  for name, weight in held_each(held.counted) do
    redis.call('HINCRBYFLOAT', k.used, name .. '|' .. held.lane, -tonumber(weight))
  end
  for name, ms in held_each(held.paced) do
    local field = 'pace:' .. held.lane .. ':' .. name
    if redis.call('HEXISTS', k.state, field) == 1 then
      redis.call('HINCRBYFLOAT', k.state, field, -tonumber(ms))
    end
  end
  held_drop(k, held)
  held_wake(k)
end

-- The call ended at `at`.
local function held_end(k, limits, held, at)
  local own = {}
  for _, limit in ipairs(limits) do
    own[limit.name] = limit
  end
  for name, text in held_each(held.counted) do
    local weight = tonumber(text)
    if own[name] then
      permits_end(own[name], held.lane, {calls = weight, messages = weight}, at)
    else
      known_ended(k, name, held.lane, weight, at)
    end
  end
  held_drop(k, held)
end

-- The call may still be under way: the permit ends a grace from now.
local function held_grace(k, held, now, grace)
  redis.call('HSET', k.inflight, held.id, held_packed(held, 'ended'))
  redis.call('HDEL', k.inflight, held.id .. ':items')
  redis.call('ZADD', k.leases, now + grace, held.id)
end
