-- Paced lanes: each call books its share of the window. Needs permits.lua, room.lua and state.lua.
--
-- `pace:LANE:LIMIT` of the state: from when the lane may go. c: {config, limits, state, now}

-- From when a lane may go; the past where it is not paced or has fallen behind.
local function pace_until(c, lane)
  local at = 0
  if c.config.paced[lane + 1] then
    for _, limit in ipairs(c.limits) do
      at = math.max(at, state_number(c, 'pace:' .. lane .. ':' .. limit.name))
    end
  end
  return math.ceil(at)
end

-- What was missed by waking late may be caught up within a hundredth of the window, or a tenth of a second. Returns what was booked, a
-- `limit=ms` for each.
local function pace_book(c, lane, weight)
  local booked = {}
  if not c.config.paced[lane + 1] or weight.calls == 0 then
    return booked
  end
  for _, limit in ipairs(c.limits) do
    local wanted, field = permits_weight(limit, weight), 'pace:' .. lane .. ':' .. limit.name
    local span = wanted / room_most(limit, lane, c.config.floors, wanted) * limit.window
    local from = math.max(c.now - math.max(100, limit.window / 100), state_number(c, field))
    state_set(c, field, string.format('%.3f', from + span))
    booked[#booked + 1] = limit.name .. '=' .. string.format('%.3f', span)
  end
  return booked
end
