-- Whether somebody has a recipient in hand who has not ended: a job that waits for it, or a call. Needs ready.lua and move.lua.
--
-- k: {entries, groups, due, inflight}; record: {lane, source, group, at} of its intent
-- Sure where it says true. Where it says false, a job may still be there that this cannot name: one that a worker holds, and one that
-- has come due again, whose time nobody keeps.

-- Whether a claim finds the jobs of this group: it goes by the group's member, and an entry alone waits for ever.
local function owned_found(k, lane, source, group)
  local head = ready_head(k.entries, table.concat({lane, source, group}, '|') .. '|')
  return head ~= nil and redis.call('ZSCORE', k.groups, table.concat({lane, source, head, group}, '|')) ~= false
end

local function owned_waits(k, lane, source, group, subject)
  return owned_found(k, lane, source, group) or redis.call('ZSCORE', k.due, table.concat({lane, source, group, subject}, '|')) ~= false
end

-- Nobody knows yet whether its call was taken: the call is under way, or a job will look for evidence.
local function owned_call(k, record, batch)
  local held = redis.call('HGET', k.inflight, batch)
  return held and string.sub(held, 1, 8) == 'calling '
    or owned_waits(k, 0, SYSTEM, 'resolve.0.1.' .. batch, batch)
    or owned_waits(k, record.lane, record.source, 'trace.1.1.' .. batch, batch)
end

-- It waits for its turn. A job that was enqueued or put back at a known time has a name that can be composed.
local function owned_turn(k, record, group, since, subject)
  if record.found[group] == nil then
    record.found[group] = owned_found(k, record.lane, record.source, group)  -- the same for all its recipients
  end
  local prefix = table.concat({record.lane, record.source, group}, '|') .. '|'
  return redis.call('ZSCORE', k.entries, prefix .. ready_time(since) .. '|' .. subject) ~= false
    and record.found[group]
    or redis.call('ZSCORE', k.due, prefix .. subject) ~= false
end

-- packed: the recipient's field. Returns whether it is owned, since when it has stood so, and the batch where it is `sending`.
local function owned_by_somebody(k, record, packed, subject)
  local state, since, batch = string.match(packed, '^(%a+)|?([^|]*)|?[^|]*|?[^|]*|?([^|]*)')
  if state == 'queued' then
    since = tonumber(since) or record.at
    return owned_turn(k, record, move_group(record.group, packed), since, subject), since
  elseif state == 'sending' then
    return owned_call(k, record, batch), tonumber(since), batch
  end
  return true
end

local function owned_record(key)
  local found = redis.call('HMGET', key, 'lane', 'source', 'group', 'at')
  return {lane = found[1], source = found[2], group = found[3], at = tonumber(found[4] or ''), found = {}}
end
