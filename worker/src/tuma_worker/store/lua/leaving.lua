-- Recipients of an intent that are to leave the line of an account that does not work. Needs ready.lua and move.lua.
--
-- k: as in ready.lua, with state; place: {lane, source, group} of their jobs
-- seen: from `first` on number, time of its job, its field, ..., as they were seen in the line

-- Whether the account still stands in the way of its own sends, and nobody has paused these: what an operator holds stays held.
local function leaving_needed(k, place)
  local stops = redis.call('HMGET', k.state, 'halt', 'breaker', 'paused', 'paused:lane:' .. place.lane,
    'paused:source:' .. place.source)
  return (stops[1] or stops[2]) and not (stops[3] or stops[4] or stops[5])
end

-- Move those that still stand as they were seen to `target` and take their jobs out; whoever has been claimed meanwhile stays.
-- Returns their numbers.
local function leaving_move(c, k, key, id, place, seen, first, target, reason)
  local prefix = table.concat({place.lane, place.source, place.group}, '|') .. '|'
  local items, jobs = {}, {}
  for i = first, #seen, 3 do
    local job = prefix .. seen[i + 1] .. '|' .. id .. ':' .. seen[i]
    if redis.call('HGET', key, seen[i]) == seen[i + 2] and redis.call('ZSCORE', k.entries, job) then
      items[#items + 1] = {key = key, id = id, number = seen[i], target = target, allowed = ' queued ', evidence = 'inferred',
        reason = reason, batch = ''}
      jobs[#jobs + 1] = job
    end
  end
  local gone, left = {}, {}
  for i, result in ipairs(move_all(c, items)) do
    if result == 'moved' then
      gone[#gone + 1] = items[i].number
      left[#left + 1] = jobs[i]
    end
  end
  ready_pull(k, tonumber(place.lane), place.source, place.group, left, {})
  return gone
end
