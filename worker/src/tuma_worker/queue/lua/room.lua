-- How much of its limits a lane may use now, and if too little, when; of limits whose `used` is known (permits.lua).
--
-- A floor is a reserve: a lane goes only while, after it, the floors of all lanes above it are still free. So a job of a higher lane
-- finds its permit at once as long as such jobs come no faster than permits end, however busy the lanes below are. Lane 0 is the highest.

-- The most that may count in all, this lane's call included. However high the floors, a job of the weight `least` may go by itself: a
-- floor delays, it never closes.
local function room_most(limit, lane, floors, least)
  local kept = 0
  for above = 1, lane do
    kept = kept + floors[above] * limit.count
  end
  return kept > 0 and math.max(limit.count - kept, math.min(limit.count, least)) or limit.count
end

local function room_counted(limit)
  return limit.used[1] + limit.used[2] + limit.used[3]
end

-- Where the limiter's state is new, calls of before may still count at the provider: open the first window evenly from its start,
-- but never so narrowly that nothing at all could go.
local function room_cap(limit, now, least)
  if not limit.born or now >= limit.born + limit.window then
    return limit.count
  end
  return math.max(limit.count * (now - limit.born) / limit.window, least)
end

-- The weight that a lane may still use of one limit.
local function room_left(limit, lane, floors, now, least)
  return math.min(room_cap(limit, now, least), room_most(limit, lane, floors, least)) - room_counted(limit)
end

-- When enough of what counts now will have stopped counting. What is in flight has no end yet; ending this instant, it would free
-- its place in W, so nothing is missed by looking again then.
local function room_freed(limit, need, now)
  local freed, from = 0, 0
  while true do
    local slots = redis.call('LRANGE', limit.key, from, from + 49)
    for _, slot in ipairs(slots) do
      local ended, a, b, c = string.match(slot, '^(%d+):([^:]+):([^:]+):([^:]+)$')
      freed = freed + tonumber(a) + tonumber(b) + tonumber(c)
      if freed >= need then
        return tonumber(ended) + limit.window
      end
    end
    if #slots < 50 then
      return now + limit.window
    end
    from = from + 50
  end
end

-- The earliest time at which `weight` may fit for this lane, `now` if it fits. `least` is what may go by itself, as for room_left.
local function room_at(limit, lane, floors, now, weight, least)
  local at, total = now, room_counted(limit)
  local over = total + weight - room_most(limit, lane, floors, least)
  if over > 0 then
    at = math.max(at, room_freed(limit, over, now))
  end
  if limit.born and total + weight > least and total + weight <= limit.count then
    at = math.max(at, math.min(limit.born + limit.window, math.ceil(limit.born + (total + weight) * limit.window / limit.count)))
  end
  return at
end
