-- A schedule's place among what waits for a time: one job of the system's own, at its next firing. Needs ready.lua.
local WAITS_GROUP = 'fire.0.100.-'

local function waits_name(id)
  return '0|' .. SYSTEM .. '|' .. WAITS_GROUP .. '|' .. id
end

local function waits_put(k, id, at)
  ready_later(k, at, {waits_name(id)})
end
