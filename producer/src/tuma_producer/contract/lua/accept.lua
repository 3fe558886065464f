-- Accepting an intent: its record, its jobs, its deadline and its event. Needs ready.lua, body.lua and listed.lua.
--
-- k: as in ready.lua, with due, deadlines, suppressed
-- c: {now, events, maxlen, retention}, of what move.lua says; what is accepted is in the line once accept_flush has run
-- one: {key, id, source, lane, group, body, numbers, first: where in `numbers` they begin, hold: ms that it is held back,
--   expires: Unix ms or empty, paused: by whom, where its campaign is held: then it waits until it is resumed,
--   unlisted: whether it is known that the suppression list is empty}

-- Put into the line what was gathered for it. Whoever accepts calls this last.
local function accept_flush(k, c)
  local line = c.line
  if line then
    c.line = nil
    ready_push(k, line.lane, line.source, line.group, line.items)
    ready_ring(k, line.lane, c.now)
  end
end

-- Into the line, or into the due set for as long as it is held back. Those that come one after the other for one place in the line go
-- there together.
local function accept_jobs(k, c, one)
  local numbers, items = one.numbers, {}
  if one.hold > 0 then
    local prefix = one.lane .. '|' .. one.source .. '|' .. one.group .. '|' .. one.id .. ':'
    for i = one.first, #numbers do
      items[#items + 1] = prefix .. numbers[i]
    end
    ready_later(k, c.now + one.hold, items)
    return
  end
  local line = c.line
  if not line or line.group ~= one.group or line.source ~= one.source or line.lane ~= one.lane then
    accept_flush(k, c)
    line = {lane = one.lane, source = one.source, group = one.group, items = {}}
    c.line = line
  end
  items = line.items
  local at = ready_time(c.now)
  for i = one.first, #numbers do
    items[#items + 1] = at
    items[#items + 1] = one.id .. ':' .. numbers[i]
  end
end

-- Who is on the suppression list ends in the same step. Returns the others. What moves recipients is made here, and not at the head:
-- nearly all sends have nobody on the list, and would wait for it.
local function accept_suppressed(c, one, since)
-- include: move
  local items, live = {}, {}
  for i = one.first, #one.numbers do
    local number = one.numbers[i]
    if since[i - one.first + 1] then
      items[#items + 1] = {key = one.key, id = one.id, number = number, target = 'suppressed', allowed = ' accepted queued ',
        evidence = 'inferred', reason = ON_LIST, batch = ''}
    else
      live[#live + 1] = number
    end
  end
  move_all({now = c.now, events = c.events, maxlen = c.maxlen, ends = ' suppressed ', retention = c.retention}, items)
  return live
end

-- What is known of the intent, and where each recipient begins.
local function accept_record(one, now)
  local numbers, fields = one.numbers, body_fields(one.body)
  local state = one.paused and 'accepted' or 'queued'
  for i = one.first, #numbers do
    fields[#fields + 1] = numbers[i]
    fields[#fields + 1] = state
    if #fields >= 2000 then
      redis.call('HSET', one.key, unpack(fields))
      fields = {}
    end
  end
  redis.call('HSET', one.key, 'source', one.source, 'lane', one.lane, 'group', one.group, 'at', now, 'expires', one.expires,
    'open', #numbers - one.first + 1, 'seq', 1, unpack(fields))
end

local function accept(k, c, one)
  local numbers, first, now, maxlen = one.numbers, one.first, c.now, c.maxlen
  local count = #numbers - first + 1
  accept_record(one, now)

  if one.expires ~= '' then
    -- Nobody is woken for it: whoever looks next, within seconds, sees that it has passed.
    redis.call('ZADD', k.deadlines, one.expires, one.id)
  end
  if one.hold > 0 then
    redis.call('HSET', one.key, 'until', now + one.hold)  -- a pause takes it out of the due set, and a resumption must not cut this short
  end
  redis.call('XADD', c.events, 'MAXLEN', '~', maxlen, '*', 'e', 'accepted', 'i', one.id, 's', one.source, 'q', 1, 'n', count,
    body_traced(one.body))
  if one.paused then
    redis.call('HSET', one.key, 'held', 'paused', 'seq', 2)
    redis.call('XADD', c.events, 'MAXLEN', '~', maxlen, '*', 'e', 'paused', 'i', one.id, 's', one.source, 'q', 2, 'by', one.paused)
  end
  local since = one.unlisted and {} or listed_scores(k.suppressed, numbers, first, 1)
  if #since > 0 then
    one.numbers, one.first = accept_suppressed(c, one, since), 1
  end
  if not one.paused and #one.numbers >= one.first then
    accept_jobs(k, c, one)
  end
end
