-- The server's time in whole milliseconds, rounded down. The only clock that any script asks.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
