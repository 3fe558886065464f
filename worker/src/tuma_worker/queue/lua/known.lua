-- The limits that a queue knows, whoever is configured with them. Needs permits.lua.
--
-- While a configuration is rolled out, workers that have a limit and workers that do not claim from one queue. A call counts at the
-- provider whoever makes it, so every worker counts its calls under every limit that the queue knows, also where it does not have to keep
-- it. A queue knows a limit from the first claim of a worker that has it: `born:NAME`, `unit:NAME` and `span:NAME` of the state.
--
-- A worker without the limit is not given the key of its list. What ends there is noted as `ended:NAME`, `first last otp transactional
-- bulk`, and counts on until the next claim of a worker that has the limit puts it into the list. Where none has come for a window, and for
-- a minute, nobody has the limit any more: it is forgotten, and new if it returns.

local KNOWN_FOR = 60000  -- ms; a worker with all its threads in calls does not claim for a while

local function known_note(text)
  local first, last, a, b, c = string.match(text or '', '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  if first then
    return {first = tonumber(first), last = tonumber(last), tonumber(a), tonumber(b), tonumber(c)}
  end
end

-- A call ended at `at` that counts under a limit whose list is not at hand.
local function known_ended(k, name, lane, weight, at)
  local found = redis.call('HMGET', k.state, 'born:' .. name, 'ended:' .. name)
  if not found[1] then
    redis.call('HINCRBYFLOAT', k.used, name .. '|' .. lane, -weight)  -- forgotten since
    return
  end
  local note = known_note(found[2]) or {first = at, last = at, 0, 0, 0}
  note[lane + 1] = note[lane + 1] + weight
  redis.call('HSET', k.state, 'ended:' .. name, string.format('%.0f %.0f %.17g %.17g %.17g', note.first, math.max(note.last, at),
    note[1], note[2], note[3]))
end

local function known_forget(k, name)
  local note = known_note(redis.call('HGET', k.state, 'ended:' .. name))  -- as it is: this claim may have noted an end too
  for lane = 0, LANES - 1 do
    redis.call('HINCRBYFLOAT', k.used, name .. '|' .. lane, -note[lane + 1])
  end
  redis.call('HDEL', k.state, 'born:' .. name, 'unit:' .. name, 'span:' .. name, 'widened:' .. name, 'ended:' .. name,
    'pace:0:' .. name, 'pace:1:' .. name, 'pace:2:' .. name)
end

-- Count a claimed permit under the limits that only others are configured with, and forget those that nobody is any more.
local function known_count(k, state, limits, lane, weight, now, counted)
  local own = {}
  for _, limit in ipairs(limits) do
    own[limit.name] = true
  end
  for field in pairs(state) do
    local name = string.match(field, '^born:(.*)$')
    if name and not own[name] then
      local note = known_note(state['ended:' .. name])
      if note and note.first + math.max(KNOWN_FOR, tonumber(state['span:' .. name])) <= now then
        known_forget(k, name)
      else
        local counts = permits_weight({unit = state['unit:' .. name]}, weight)
        redis.call('HINCRBYFLOAT', k.used, name .. '|' .. lane, counts)
        counted[#counted + 1] = name .. '=' .. counts
      end
    end
  end
end

-- One of our own: put what others noted into its list, and find out since when it has a history: a limit without one must not assume
-- an empty window.
local function known_here(k, state, limit, cold_start, now)
  local name = limit.name
  local note = known_note(state['ended:' .. name])
  if note then
    for lane = 0, LANES - 1 do
      if note[lane + 1] > 0 then
        permits_end(limit, lane, {calls = note[lane + 1], messages = note[lane + 1]}, note.last)
      end
    end
    redis.call('HDEL', k.state, 'ended:' .. name)
  end
  local born, span, widened = tonumber(state['born:' .. name]), tonumber(state['span:' .. name]), tonumber(state['widened:' .. name])
  if not born or span ~= limit.window or state['unit:' .. name] ~= limit.unit then
    born = born or now
    -- One that was widened while running has forgotten what had ended before its old window: to that extent it is new.
    widened = span and limit.window > span and now or widened or 0
    redis.call('HSET', k.state, 'born:' .. name, born, 'unit:' .. name, limit.unit, 'span:' .. name, limit.window,
      'widened:' .. name, widened)
  end
  limit.born = cold_start == 'paced' and born or nil
  if widened > 0 then
    limit.born = math.max(limit.born or 0, widened)
  end
end
