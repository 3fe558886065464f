-- Whether a call fits all limits together, and how much of one does. Needs permits.lua, room.lua and line.lua.
--
-- c: {k, limits, config, favoured, now}

local ANY_NUMBER = 1000000000  -- of messages, where nothing limits them
local NO_FLOORS = {0, 0, 0}

-- A weight fits a lane if it fits every limit. Returns the time from which it may. Whether the favoured lane may go at all, no floor says;
-- how much it takes, they do. `least` is the weight of one job, which may go where nothing else counts.
local function fit_at(c, lane, weight, least)
  local at, floors = c.now, lane == c.favoured and NO_FLOORS or c.config.floors
  for _, limit in ipairs(c.limits) do
    local wanted = permits_weight(limit, weight)
    if wanted > 0 then
      at = math.max(at, room_at(limit, lane, floors, c.now, wanted, permits_weight(limit, least)))
    end
  end
  return at
end

-- The messages that a lane may send now.
local function fit_messages(c, lane, segments)
  local left = ANY_NUMBER
  for _, limit in ipairs(c.limits) do
    if limit.unit == 'messages' then
      left = math.min(left, math.floor(room_left(limit, lane, c.config.floors, c.now, segments)))
    end
  end
  return left
end

-- The most messages that the limits can ever leave to a lane at once.
local function fit_messages_most(c, lane, segments)
  local most = ANY_NUMBER
  for _, limit in ipairs(c.limits) do
    if limit.unit == 'messages' then
      most = math.min(most, room_most(limit, lane, c.config.floors, segments))
    end
  end
  return most
end

-- Whether a job of so many segments is heavier than a whole window: no waiting would ever make room for it. Where an operator has lowered
-- the limit it waits, as that is for a time.
local function fit_never(c, segments)
  for _, limit in ipairs(c.limits) do
    if permits_weight(limit, {calls = 1, messages = segments}) > math.max(limit.count, limit.configured) then
      return true
    end
  end
  return false
end

-- With few messages left in the window, small calls would use up the calls before the messages: below the ratio of the two
-- limits wait for more room, if there are jobs to fill it. Returns until when; `room` is for how many jobs there is some.
local function fit_company(c, lane, prefix, segments, most, room)
  local possible = math.floor(fit_messages_most(c, lane, segments) / segments)
  local worth = math.min(most, possible, math.ceil(c.config.messages_per_call / segments))
  if room < worth then
    local more = #line_pick(c.k, prefix, worth).members
    if more > room then
      local at = fit_at(c, lane, {calls = 1, messages = more * segments}, {calls = 1, messages = segments})
      return at > c.now and at or nil
    end
  end
end
