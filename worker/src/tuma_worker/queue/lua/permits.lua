-- The limiter: permits held across windows.
--
-- A permit counts against a limit of N per W from the moment it is claimed until W after the call it covered has ended.
--
-- Why no interval of length W at the provider ever sees more than N. Suppose N+1 calls arrive there within W, and let j be the one
-- whose permit was claimed last, at time s. Take any other call i of them.
--   * If i arrived before j did, it arrived after s - W, because j arrived after s and the two arrivals are less than W apart.
--   * If i arrived after j, it arrived after s.
-- Either way i arrived after s - W, and its end is not before its arrival, so at s less than W had passed since i's end, and i
-- was claimed before s: i was still counted at s. So N permits were counted at s and the claim of j was refused. A contradiction.
-- The proof uses one clock, this server's, and never asks when a call arrived, how long the network took, or how the provider aligns
-- its windows. With weights instead of ones the same argument holds for their sum.
--
-- What it leans on, and where that is kept:
--   * an end is never stamped before the call has ended: `permits_end` runs after it, and slots and clocks only round upwards;
--   * a call that was given up, or whose worker died, may still be read by the provider: its end is stamped a grace later;
--   * nothing is forgotten: where this state is new (a first start, or a server that lost its data) `room_cap` paces the first
--     window from its start, because calls of before may still count at the provider. That makes an excess small, and proves nothing for
--     that one window: what was forgotten is not known. A limit whose window was made longer has forgotten
--     what ended before the old one: it is paced likewise, and that is all that can be done;
--   * every call is counted: also those of workers whose configuration does not have the limit (known.lua).
--
-- State per limit: `used` holds the weight that counts now, by lane; the list `window` says when parts of it stop counting, as
-- `slot:otp:transactional:bulk`, oldest first. Slots are W/1000 long, in whole milliseconds: a list has about a thousand items at the
-- most, and under two thousand in any case.
--
-- limits: {name, unit 'calls' or 'messages', count, window ms, key of its list}; weight: {calls, messages}

local LANES = 3

-- Operators may change a limit while the workers run: `limit:NAME` of the queue's state then says `count window ...` for it. What its
-- workers are configured with stays known as `configured`.
local function permits_steered(limit, text)
  limit.configured = limit.count
  local count, window = string.match(text or '', '^(%S+) (%S+)')
  if count then
    limit.count, limit.window = tonumber(count), tonumber(window)
  end
end

local function permits_steer(limits, state)
  for _, limit in ipairs(limits) do
    permits_steered(limit, redis.call('HGET', state, 'limit:' .. limit.name))
  end
end

local function permits_weight(limit, weight)
  return limit.unit == 'calls' and weight.calls or weight.messages
end

-- Take off what ended more than W ago.
local function permits_expire(used_key, limit, now)
  local used, expired, page = limit.used, 0, 4  -- nearly always the first slot still counts
  repeat
    local slots = redis.call('LRANGE', limit.key, expired, expired + page - 1)
    local full = #slots == page
    page = 50
    for _, slot in ipairs(slots) do
      local ended, a, b, c = string.match(slot, '^(%d+):([^:]+):([^:]+):([^:]+)$')
      if tonumber(ended) + limit.window > now then
        full = false
        break
      end
      expired = expired + 1
      used[1], used[2], used[3] = used[1] - tonumber(a), used[2] - tonumber(b), used[3] - tonumber(c)
    end
  until not full
  if expired > 0 then
    redis.call('LTRIM', limit.key, expired, -1)
    redis.call('HSET', used_key, limit.name .. '|0', used[1], limit.name .. '|1', used[2], limit.name .. '|2', used[3])
  end
end

-- Find out what counts now: each limit's `used` becomes {otp, transactional, bulk}.
local function permits_used(used_key, limits, now)
  if #limits == 0 then
    return
  end
  local fields = {}
  for _, limit in ipairs(limits) do
    for lane = 0, LANES - 1 do
      fields[#fields + 1] = limit.name .. '|' .. lane
    end
  end
  local found = redis.call('HMGET', used_key, unpack(fields))
  for i, limit in ipairs(limits) do
    limit.used = {}
    for lane = 1, LANES do
      limit.used[lane] = tonumber(found[LANES * (i - 1) + lane] or 0)
    end
    permits_expire(used_key, limit, now)
  end
end

-- Count a claimed permit under limits whose `used` is known. `counted` gets a `name=weight` for each.
local function permits_count(used_key, limits, lane, weight, counted)
  local fields = {}
  for _, limit in ipairs(limits) do
    local counts = permits_weight(limit, weight)
    limit.used[lane + 1] = limit.used[lane + 1] + counts
    fields[#fields + 1] = limit.name .. '|' .. lane
    fields[#fields + 1] = string.format('%.17g', limit.used[lane + 1])
    counted[#counted + 1] = limit.name .. '=' .. counts
  end
  if #fields > 0 then
    redis.call('HSET', used_key, unpack(fields))
  end
end

-- The covered call ended at `at` (now, or later by a grace): its weight stops counting W after the end of the slot that `at` is in.
local function permits_end(limit, lane, weight, at)
  local length = math.max(1, math.floor(limit.window / 1000))
  -- The next slot's end, never this one's: `at` is rounded down to a millisecond, and the call ended after it.
  local slot = (math.floor(at / length) + 1) * length
  local parts = {0, 0, 0}
  local last = redis.call('LINDEX', limit.key, -1)
  local ended, a, b, c = string.match(last or '', '^(%d+):([^:]+):([^:]+):([^:]+)$')
  -- A list stays in order: what ends before the last slot (that one has a grace) counts until the last slot does.
  local joins = ended and tonumber(ended) >= slot
  if joins then
    slot, parts = tonumber(ended), {tonumber(a), tonumber(b), tonumber(c)}
  end
  parts[lane + 1] = parts[lane + 1] + permits_weight(limit, weight)
  local text = string.format('%.0f:%.17g:%.17g:%.17g', slot, parts[1], parts[2], parts[3])
  if joins then
    redis.call('LSET', limit.key, -1, text)
  else
    redis.call('RPUSH', limit.key, text)
  end
end
