-- The state of a queue while one claim goes on: read once at its beginning, written once at its end.
--
-- c.state: field -> text, with the changes so far

local function state_load(c)
  c.state, c.set, c.cleared = {}, {}, {}
  local flat = redis.call('HGETALL', c.k.state)
  for i = 1, #flat, 2 do
    c.state[flat[i]] = flat[i + 1]
  end
end

local function state_number(c, field)
  return tonumber(c.state[field] or 0)
end

local function state_set(c, field, value)
  c.state[field] = value
  c.set[#c.set + 1] = field
  c.set[#c.set + 1] = value
end

-- No field is both set and cleared in one claim.
local function state_clear(c, field)
  if c.state[field] then
    c.state[field] = nil
    c.cleared[#c.cleared + 1] = field
  end
end

local function state_save(c)
  if #c.set > 0 then
    redis.call('HSET', c.k.state, unpack(c.set))
  end
  if #c.cleared > 0 then
    redis.call('HDEL', c.k.state, unpack(c.cleared))
  end
end
