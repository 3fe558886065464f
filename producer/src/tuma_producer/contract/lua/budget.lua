-- What a source may spend in a day or a month of its account's calendar: looked at and counted in the step that accepts.
--
-- budgets: hash: `source|period` to `most each counts unit`; `source|period|used` to the first day of that period, and what was used in it.
--   most, each and used are in millionths of the unit; each is what one of what it `counts` uses: recipients, or messages, which
--   are recipients times segments. Days are numbered from the Unix epoch by the account's clocks
-- profile: its `offsets` are those of the account's zone, `from:ms` from which Unix ms on, in their order
local DAY = 86400000

local function budget_offset(offsets, at)
  local offset = 0
  for from, ms in string.gmatch(offsets, '(%d+):(-?%d+)') do
    if tonumber(from) <= at then
      offset = tonumber(ms)
    end
  end
  return offset
end

-- Which day of its month a day is: the algorithm of Hinnant's `civil_from_days`, which counts years from March.
local function budget_day_of_month(day)
  local of_era = (day + 719468) % 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  return of_year - math.floor((153 * math.floor((5 * of_year + 2) / 153) + 2) / 5) + 1
end

-- The first day of the period that a day is in, and that of the next one.
local function budget_period(name, day)
  if name == 'day' then
    return day, day + 1
  end
  local first = day - budget_day_of_month(day) + 1
  local following = first + 28
  while budget_day_of_month(following) ~= 1 do
    following = following + 1
  end
  return first, following
end

-- Count what a send uses. Returns nothing where it is within all budgets, and else, with nothing counted, which one it would exceed:
-- 'period unit most used wanted opens', opens in Unix ms. What is `due` is counted and never refused.
local function budget_use(budgets, profile, now, one)
  local names, fields = {'day', 'month'}, {}
  for _, name in ipairs(names) do
    fields[#fields + 1] = one.source .. '|' .. name
    fields[#fields + 1] = one.source .. '|' .. name .. '|used'
  end
  local found, offsets, set = redis.call('HMGET', budgets, unpack(fields)), redis.call('HGET', profile, 'offsets') or '', {}
  local day = math.floor((now + budget_offset(offsets, now)) / DAY)
  for i, name in ipairs(names) do
    local most, each, counts, unit = string.match(found[2 * i - 1] or '', '^(%d+) (%d+) (%S+) (%S+)$')
    if most then
      local first, following = budget_period(name, day)
      local since, used = string.match(found[2 * i] or '', '^(%d+) (%d+)$')
      used = tonumber(since) == first and tonumber(used) or 0
      local wanted = tonumber(each) * one.recipients * (counts == 'messages' and one.segments or 1)
      if used + wanted > tonumber(most) and not one.due then
        local opens = following * DAY - budget_offset(offsets, following * DAY - budget_offset(offsets, now))
        return string.format('%s %s %s %.0f %.0f %.0f', name, unit, most, used, wanted, opens)
      end
      set[#set + 1] = fields[2 * i]
      set[#set + 1] = string.format('%.0f %.0f', first, used + wanted)
    end
  end
  if #set > 0 then
    redis.call('HSET', budgets, unpack(set))
  end
end

-- How many segments the text of a group's sends has.
local function budget_segments(group)
  return tonumber(string.match(group, '^[^.]*%.(%d+)')) or 1
end
