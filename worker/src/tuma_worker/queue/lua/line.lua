-- Reading the line of a queue and taking jobs out of it. Needs ready.lua, which says what its members look like.

-- The oldest group of a source: its time and name.
local function line_group(k, lane, source)
  local prefix = lane .. '|' .. source .. '|'
  local first = redis.call('ZRANGE', k.groups, '[' .. prefix, '[' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1]
  if first then
    return string.match(string.sub(first, #prefix + 1), '^(%x+)|(.*)$')
  end
end

-- The oldest jobs of a group, at most `most`, no number twice: a provider would merge the two. `head` is the time of the oldest that is
-- left, nil where none is.
local function line_pick(k, prefix, most)
  local members, items, seen, head = {}, {}, {}, nil
  local found = redis.call('ZRANGE', k.entries, '[' .. prefix, '[' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, most + 1)
  for i, member in ipairs(found) do
    local at, subject = string.match(string.sub(member, #prefix + 1), '^(%x+)|(.*)$')
    local number = string.match(subject, ':(.*)$') or subject
    if i > most or seen[number] then
      head = head or at
    else
      seen[number] = true
      members[#members + 1] = member
      items[#items + 1] = at
      items[#items + 1] = subject
    end
  end
  return {members = members, items = items, head = head}
end

-- A group's name says what a job of it is: actor.segments.most jobs in a call (0: as the provider allows).digest
-- A job of segments 0 makes no call.
local function line_kind(config, group)
  local segments, most = string.match(group, '^[^.]+%.(%d+)%.(%d+)%.')
  segments, most = tonumber(segments), tonumber(most)
  if not config.segments then
    segments = math.min(segments, 1)  -- this provider counts a long text once
  end
  return segments, most > 0 and most or config.batch_max
end

-- Take picked jobs out of the line; their group keeps its place by the oldest that is left.
local function line_take(k, place, at, group, picked)
  ready_remove(k.entries, picked.members)
  redis.call('ZREM', k.groups, place .. at .. '|' .. group)
  if picked.head then
    redis.call('ZADD', k.groups, 0, place .. picked.head .. '|' .. group)
  end
end
