-- How much of its limits a lane may use now, and if too little, when. Needs permits.lua.
--
-- A lane must leave the floors of the lanes above it alone: with every lane h above it, what the lanes below h use together stays
-- within the limit less the floors of h and all above. Lane 0 is the highest.

-- The rules that bind a lane against one limit: {first lane counted, most they may use together}. However high the floors, `least` is
-- left to a lane: a floor delays, it never closes.
local function room_rules(limit, lane, floors, least)
  local rules, kept = {{0, limit.count}}, 0
  for above = 0, lane - 1 do
    kept = kept + floors[above + 1] * limit.count
    if kept > 0 then
      rules[#rules + 1] = {above + 1, math.max(limit.count - kept, math.min(limit.count, least))}
    end
  end
  return rules
end

local function room_counted(used, first)
  local sum = 0
  for lane = first, 2 do
    sum = sum + used[lane + 1]
  end
  return sum
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
  local left = room_cap(limit, now, least) - room_counted(limit.used, 0)
  for _, rule in ipairs(room_rules(limit, lane, floors, least)) do
    left = math.min(left, rule[2] - room_counted(limit.used, rule[1]))
  end
  return left
end

-- When enough of what counts now will have stopped counting. What is in flight has no end yet; ending this instant, it would free
-- its place in W, so nothing is missed by looking again then.
local function room_freed(limit, first, need, now)
  local freed, from = 0, 0
  while true do
    local slots = redis.call('LRANGE', limit.key, from, from + 49)
    for _, slot in ipairs(slots) do
      local ended, a, b, c = string.match(slot, '^(%d+):([^:]+):([^:]+):([^:]+)$')
      local weights = {tonumber(a), tonumber(b), tonumber(c)}
      for lane = first, 2 do
        freed = freed + weights[lane + 1]
      end
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

-- The earliest time at which `weight` may fit for this lane, `now` if it fits.
local function room_at(limit, lane, floors, now, weight)
  local at = now
  for _, rule in ipairs(room_rules(limit, lane, floors, weight)) do
    local over = room_counted(limit.used, rule[1]) + weight - rule[2]
    if over > 0 then
      at = math.max(at, room_freed(limit, rule[1], over, now))
    end
  end
  local total = room_counted(limit.used, 0)
  if total > 0 and limit.born and total + weight <= limit.count then
    at = math.max(at, math.min(limit.born + limit.window, math.ceil(limit.born + (total + weight) * limit.window / limit.count)))
  end
  return at
end
