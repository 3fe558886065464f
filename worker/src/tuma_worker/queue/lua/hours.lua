-- Quiet hours: jobs whose recipients may not be called now are taken out of the line. Needs line.lua.
--
-- The table of a moment is a text: `from to lanes action |code=until|code=until|`, in Unix ms. Between `from` and `to` it is right.
-- lanes: '2' or '12'; a calling code, such as +243, has 0 where numbers with it may be called, else when they may; `*` stands for all
-- other numbers. Only sends are meant, and one whose group has a `!` goes at any hour.
local HOURS_CODE = 5  -- characters of the longest code, its plus included
local HOURS_AT_ONCE = 500  -- jobs that one claim takes out

local function hours_read(text)
  local from, to, lanes, action = string.match(text, '^(%d+) (%d+) (%d*) (%a+)')
  return {from = tonumber(from), to = tonumber(to), lanes = lanes, action = action, text = text, known = {}, left = HOURS_AT_ONCE}
end

local function hours_concern(hours, lane, group)
  return hours and string.find(hours.lanes, lane, 1, true) and string.sub(group, 1, 5) == 'send.' and not string.find(group, '!', 1, true)
end

-- When a number may be called, 0 for now. Numbers of one country mostly come together.
local function hours_until(hours, number)
  local start = string.sub(number, 1, HOURS_CODE)
  if not hours.known[start] then
    local found
    for length = HOURS_CODE, 2, -1 do
      found = found or string.match(hours.text, '|%' .. string.sub(start, 1, length) .. '=(%d+)')
    end
    hours.known[start] = tonumber(found or string.match(hours.text, '|%*=(%d+)'))
  end
  return hours.known[start]
end

-- Of the oldest `most` jobs of a group those that may not go now, as line_pick has them: head is the time of the oldest that stays.
local function hours_sort(k, hours, lane, source, group, most)
  local prefix, members, items, head = lane .. '|' .. source .. '|' .. group .. '|', {}, {}, nil
  for i, member in ipairs(redis.call('ZRANGE', k.entries, '[' .. prefix, '[' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, most + 1)) do
    local since, subject = string.match(string.sub(member, #prefix + 1), '^(%x+)|(.*)$')
    if i <= most and hours_until(hours, string.match(subject, ':(.*)$')) > 0 then
      members[#members + 1] = member
      items[#items + 1] = since
      items[#items + 1] = subject
    else
      head = head or since
    end
  end
  return {members = members, items = items, head = head}
end

-- They wait where everything waits for a time.
local function hours_put_off(k, hours, lane, source, at, group, picked)
  line_take(k, lane .. '|' .. source .. '|', at, group, picked)
  for i = 2, #picked.items, 2 do
    local subject = picked.items[i]
    redis.call('ZADD', k.due, hours_until(hours, string.match(subject, ':(.*)$')), table.concat({lane, source, group, subject}, '|'))
  end
  hours.left = hours.left - #picked.members
end
