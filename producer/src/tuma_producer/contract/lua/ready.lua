-- Putting jobs where a claim finds them. Shared by every script that makes a job ready.
--
-- entries: lane|source|group|time|subject     one per job
-- groups:  lane|source|time|group             one per group; time is that of the group's oldest entry
-- sources: source, by the share it has used   one per source with work in the lane
--
-- Both member forms sort as text in the order in which a claim wants them, so no script needs a key whose name it has to compute.

-- The source of jobs that make no calls: resolving, parking, other people's Dramatiq messages. They wait in lane 0 and go first,
-- whatever is closed, paused or used up. No service can have this name.
local SYSTEM = '~'

-- The oldest time in a group, or nil. prefix: lane|source|group|
local function ready_head(entries, prefix)
  local first = redis.call('ZRANGE', entries, '[' .. prefix, '[' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1]
  return first and string.sub(first, #prefix + 1, #prefix + 11)
end

-- Members of entries sort by time as text, so a time is eleven hexadecimal digits.
local function ready_time(ms)
  return string.format('%011x', ms)
end

-- A source that comes back joins at the lane's present share, or at what it had used itself if that is more: it gets no credit for
-- having been away, and is not forgiven what it has had.
local function ready_source(k, lane, source)
  local sources = k.sources[lane + 1]
  if not redis.call('ZSCORE', sources, source) then
    local share = tonumber(redis.call('HGET', k.state, 'share:' .. lane) or 0)
    local spent = tonumber(redis.call('HGET', k.spent, lane .. '|' .. source) or 0)
    redis.call('ZADD', sources, string.format('%.17g', math.max(share, spent)), source)
  end
end

-- Make jobs of one group ready. items: {time, subject, time, subject, ...}, oldest first.
local function ready_push(k, lane, source, group, items)
  local prefix = lane .. '|' .. source .. '|' .. group .. '|'
  local head = ready_head(k.entries, prefix)
  for from = 1, #items, 2000 do
    local members = {}
    for i = from, math.min(from + 1999, #items), 2 do
      members[#members + 1] = 0
      members[#members + 1] = prefix .. items[i] .. '|' .. items[i + 1]
    end
    redis.call('ZADD', k.entries, unpack(members))
  end
  local place = lane .. '|' .. source .. '|'
  if head and items[1] < head then
    redis.call('ZREM', k.groups, place .. head .. '|' .. group)
    head = items[1]
  end
  -- Said again where the group is known: one that had lost its member would hold jobs that no claim finds.
  if redis.call('ZADD', k.groups, 0, place .. (head or items[1]) .. '|' .. group) == 1 then
    ready_source(k, lane, source)
  end
end

-- A source without work leaves the lane; what it has used is remembered for its return.
local function ready_leave(k, lane, source)
  local prefix, sources = lane .. '|' .. source .. '|', k.sources[lane + 1]
  if redis.call('ZRANGE', k.groups, '[' .. prefix, '[' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1] then
    return
  end
  local spent = redis.call('ZSCORE', sources, source)
  if spent and source ~= SYSTEM then
    redis.call('HSET', k.spent, lane .. '|' .. source, spent)
    redis.call('PEXPIRE', k.spent, 86400000)
  end
  redis.call('ZREM', sources, source)
end

local function ready_remove(key, members)
  for from = 1, #members, 1000 do
    redis.call('ZREM', key, unpack(members, from, math.min(from + 999, #members)))
  end
end

-- Take jobs of one group back out, whether they are ready or due; names of jobs that are not there do no harm.
local function ready_pull(k, lane, source, group, entries, due)
  local prefix, place = lane .. '|' .. source .. '|' .. group .. '|', lane .. '|' .. source .. '|'
  local head = ready_head(k.entries, prefix)
  ready_remove(k.entries, entries)
  ready_remove(k.due, due)
  local next_head = ready_head(k.entries, prefix)
  if head and head ~= next_head then
    redis.call('ZREM', k.groups, place .. head .. '|' .. group)
    if next_head then
      redis.call('ZADD', k.groups, 0, place .. next_head .. '|' .. group)
    else
      ready_leave(k, lane, source)
    end
  end
end

-- Let jobs wait until a time, by the names that they have in the due set.
local function ready_later(k, at, members)
  for from = 1, #members, 1000 do
    local scored = {}
    for i = from, math.min(from + 999, #members) do
      scored[#scored + 1] = at
      scored[#scored + 1] = members[i]
    end
    redis.call('ZADD', k.due, unpack(scored))
  end
  if redis.call('ZCOUNT', k.due, '-inf', '(' .. string.format('%.0f', at)) == 0 and redis.call('LLEN', k.bell) == 0 then
    redis.call('RPUSH', k.bell, 1)  -- it is the next one due: whoever holds the alarm must set it anew
  end
end

-- Wake one consumer, unless a claim has said that no job of this lane can go before a time that its alarm covers.
local function ready_ring(k, lane, now)
  if redis.call('LLEN', k.bell) > 0 then
    return  -- somebody is about to look
  end
  local silent = redis.call('HMGET', k.state, 'silent_until', 'silent_from')
  if not silent[1] or now >= tonumber(silent[1]) or lane < tonumber(silent[2]) then
    redis.call('RPUSH', k.bell, 1)
  end
end
