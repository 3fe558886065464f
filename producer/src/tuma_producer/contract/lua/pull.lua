-- Taking the jobs of recipients out of the line. Needs ready.lua and move.lua.

-- The names of a waiting recipient's job, in the line and in the due set. `begin` drops one that has another, because quiet hours or a
-- limit put it off: the record does not know of that. intent: {id, lane, source, group, at}; items: as of recipients_to_move
local function pull_jobs(k, intent, items)
  local groups = {}
  for _, item in ipairs(items) do
    local one = item.was
    if one.state == 'queued' then
      local its, subject = move_group(intent.group, one.packed), intent.id .. ':' .. one.number
      local since = math.max(move_later(one.packed), tonumber(string.match(one.packed, '^%a+|(%d+)') or intent.at))
      local names = groups[its] or {entries = {}, due = {}}
      groups[its] = names
      table.insert(names.entries, table.concat({intent.lane, intent.source, its, ready_time(since), subject}, '|'))
      table.insert(names.due, table.concat({intent.lane, intent.source, its, subject}, '|'))
    end
  end
  for its, names in pairs(groups) do
    ready_pull(k, intent.lane, intent.source, its, names.entries, names.due)
  end
end
