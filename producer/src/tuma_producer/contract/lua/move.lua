-- Moving recipients from state to state, with one event for each move. Shared by every script that changes a recipient.
--
-- A recipient is a field of its intent's hash: state|since ms|evidence|reason|batch|provider's id for it|its tries.
-- One that nothing has happened to yet has its state alone. Behind the tries stands `@ms` where it was put off: before then it is not
-- called, whichever job of it comes first. Behind that stands `/most` where it waits for a call of at most so many recipients. A worker of
-- a release that does not know these reads 0 tries there: while it is replaced, a recipient may have a few more of them.
-- The caller says from which states a move is allowed: the table of moves is Python's. What is not allowed is left as it is,
-- which makes every repeat and every late or doubled piece of news harmless.
--
-- c: {now, events, maxlen, ends, retention, dead, attempt}    ends: ' state state ' as text; retention: ms that a finished intent is
--    kept; dead: the index of dead letters, for who may end somebody as one or correct an end; nobody else needs it; attempt: that
--    which begins, and is noted in the record of each intent of which somebody becomes `sending`
-- `held` in the record says that the intent is paused or cancelled: then nobody of it becomes `queued`, and the item says what
-- instead.
-- A move about no attempt has an empty batch: the recipient's last one stays, so that late news of that call still applies.
-- items: {key, id, number, target, allowed, evidence, reason, batch, provider_id, dead, untried, later, most, fenced, stood, due}; items
--    of one intent stand together. dead: whether this move makes a dead letter, which is Python's to say as well; untried: the call it
--    comes back from shall not count; later: until when it is put off, in ms, and most: for a call of how many at most: who is
--    withdrawn keeps both; provider_id: nil keeps the one that is known; fenced: only if its last call was `batch`; stood: only if it
--    has not moved since that time; due: only if it is not put off. An item that is moved learns its `tries`, one that is early how it
--    stands (`packed`)
-- Returns for each item what became of it: 'moved', 'missing', 'other' where a fence kept it, 'early' where it is put off, or the state
-- that did not allow it.

local function move_event(c, id, source, seq, item, state, correction)
  redis.call('XADD', c.events, 'MAXLEN', '~', c.maxlen, '*', 'e', state, 'i', id, 's', source, 'q', seq, 'r', item.number,
    'v', item.evidence, 'w', item.reason, 'b', item.batch, 'c', correction)
end

local function move_is(list, state)
  return string.find(list, ' ' .. state .. ' ', 1, true) ~= nil
end

local function move_batch(packed)
  return string.match(packed, '^[^|]*|[^|]*|[^|]*|[^|]*|([^|]*)') or ''
end

local function move_provider_id(packed)
  return string.match(packed, '^[^|]*|[^|]*|[^|]*|[^|]*|[^|]*|([^|]*)') or ''
end

local function move_fenced(item, packed)
  return item.fenced and move_batch(packed) ~= item.batch
    or item.stood and tonumber(string.match(packed, '^%a+|(%d+)') or 0) > item.stood
end

local function move_tries(packed)
  return tonumber(string.match(packed, '|(%d+)@?[%d/]*$') or 0)
end

local function move_later(packed)
  return tonumber(string.match(packed, '|%d+@(%d+)/?%d*$') or 0)
end

local function move_most(packed)
  return tonumber(string.match(packed, '|%d+@%d+/(%d+)$') or 0)
end

-- The group that its job waits in: that of the rest of its intent, or the one for smaller calls.
local function move_group(group, packed)
  local most = move_most(packed)
  return most > 0 and string.gsub(group, '^([^.]+%.%d+)%.%d+%.', '%1.' .. most .. '.') or group
end

-- What stands behind the tries.
local function move_put_off(c, item, packed)
  local later, most = item.later, item.most
  if not later and item.target == 'accepted' then
    later, most = move_later(packed), move_most(packed)
  end
  later, most = later or 0, most or 0
  if most == 0 and later <= c.now then
    return ''
  end
  return '@' .. later .. (most > 0 and '/' .. most or '')
end

-- Who has died stands in the index from the same step on. What is older than its record may be goes a little faster than others
-- come.
local function move_bury(c, died)
  redis.call('ZADD', c.dead, unpack(died))
  local from = string.format('(%.0f', c.now - c.retention)
  local old = redis.call('ZRANGEBYSCORE', c.dead, '-inf', from, 'LIMIT', 0, #died + 100)
  if #old > 0 then
    redis.call('ZREM', c.dead, unpack(old))
  end
  redis.call('PEXPIRE', c.dead, c.retention)
end

-- Of an intent whose dates the provider is to keep: whether it does is known once nobody of it waits for the hand-over any more, and
-- all is over once everybody has ended.
local function move_custody(c, key, id, source, was)
  local becomes, kept = nil, redis.call('HMGET', key, 'taken', 'open')
  if kept[2] == '0' and kept[1] then
    becomes = was ~= 'cancelled' and 'over' or nil
  elseif not kept[1] then
    local unknown, record = false, redis.call('HGETALL', key)
    for i = 1, #record, 2 do
      local state = string.sub(record[i], 1, 1) == '+' and string.match(record[i + 1], '^%a+')
      if state == 'accepted' or state == 'queued' or state == 'sending' then
        return
      elseif state == 'submitted' or state == 'sent' then
        becomes = 'handed-over'
      end
      unknown = unknown or state == 'unknown'
    end
    if becomes then
      redis.call('HSET', key, 'taken', 1)
    end
    becomes = becomes or unknown and 'unknown-at-provider' or 'not-handed-over'
  end
  if becomes and becomes ~= was then
    redis.call('HSET', key, 'custody', becomes)
    redis.call('XADD', c.events, 'MAXLEN', '~', c.maxlen, '*', 'e', 'custody-' .. becomes, 'i', id, 's', source,
      'q', redis.call('HINCRBY', key, 'seq', 1))
  end
end

-- items[from..to] all belong to the intent `key`: read once, write once.
local function move_intent(c, items, from, to, results)
  local key, id = items[from].key, items[from].id
  local names = {'seq', 'open', 'source', 'held'}
  for i = from, to do
    names[#names + 1] = items[i].number
  end
  names[#names + 1] = 'custody'
  names[#names + 1] = c.attempt and 'attempts'
  local was = redis.call('HMGET', key, unpack(names))
  local seq, open, source, held = tonumber(was[1]), tonumber(was[2]), was[3], was[4]
  local custody, attempts = was[to - from + 6], was[to - from + 7]
  local writes, open_before, died, risen, begun = {}, open, {}, {}, false
  for i = from, to do
    local item, packed = items[i], was[4 + i - from + 1]
    local state = packed and string.match(packed, '^%a+')
    if not state then
      results[i] = 'missing'
    elseif move_fenced(item, packed) then
      results[i] = 'other'
    elseif not move_is(item.allowed, state) then
      results[i] = state
    elseif item.due and move_later(packed) > c.now then
      results[i], item.packed = 'early', packed
    else
      if held and item.target == 'queued' then  -- withdrawn while its call was under way: it does not go again
        item.target = held == 'cancelled' and 'cancelled' or 'accepted'
        item.reason = held
      end
      item.batch = item.batch ~= '' and item.batch or move_batch(packed)
      local was_end, is_end = move_is(c.ends, state), move_is(c.ends, item.target)
      seq = seq + 1
      open = open + (was_end and 1 or 0) - (is_end and 1 or 0)
      local begins = item.target == 'sending'
      begun = begun or begins
      item.tries = math.max(0, move_tries(packed) + (begins and 1 or 0) - (item.untried and 1 or 0))
      writes[#writes + 1] = item.number
      writes[#writes + 1] = table.concat({item.target, c.now, item.evidence, item.reason, item.batch,
        item.provider_id or move_provider_id(packed), item.tries .. (is_end and '' or move_put_off(c, item, packed))}, '|')
      move_event(c, id, source, seq, item, item.target, was_end and 1 or 0)
      if item.dead then
        died[#died + 1] = c.now
        died[#died + 1] = id .. ':' .. item.number
      elseif was_end then
        risen[#risen + 1] = id .. ':' .. item.number
      end
      results[i] = 'moved'
    end
  end
  if #writes == 0 then
    return
  end
  if open == 0 and open_before > 0 then
    seq = seq + 1
    redis.call('XADD', c.events, 'MAXLEN', '~', c.maxlen, '*', 'e', 'done', 'i', id, 's', source, 'q', seq)
    redis.call('PEXPIRE', key, c.retention)
  elseif open > 0 and open_before == 0 then
    redis.call('PERSIST', key)  -- a correction has opened it again: it is kept until it ends anew
  end
  if begun and c.attempt then
    writes[#writes + 1] = 'attempts'
    writes[#writes + 1] = (attempts and attempts .. ' ' or '') .. c.attempt
  end
  redis.call('HSET', key, 'seq', seq, 'open', open, unpack(writes))
  if custody then
    move_custody(c, key, id, source, custody)
  end
  if #died > 0 then
    move_bury(c, died)
  end
  if #risen > 0 then
    redis.call('ZREM', c.dead, unpack(risen))
  end
end

local function move_all(c, items)
  local results, from = {}, 1
  while from <= #items do
    local to = from
    while to < #items and to - from < 999 and items[to + 1].key == items[from].key do
      to = to + 1
    end
    move_intent(c, items, from, to, results)
    from = to + 1
  end
  return results
end

-- The recipients that a script's arguments name, from the third on, as items: key index, short id, number, and in `step` beyond
-- three what `fill` puts into the item with the rest.
local function move_items(step, fill)
  local items = {}
  for i = 3, #ARGV, step do
    local item = {key = KEYS[tonumber(ARGV[i])], id = ARGV[i + 1], number = ARGV[i + 2]}
    fill(item, unpack(ARGV, i + 3, i + step - 1))
    items[#items + 1] = item
  end
  return items
end

-- For how long an attempt is remembered whose answer is known, in ms: longer where the provider keeps its dates.
local function move_kept(batch, keep, now)
  return math.max(keep, tonumber(redis.call('HGET', batch, 'dates') or 0) - now)
end

-- c, from what every caller's header says.
local function move_context(header, now, events, dead)
  return {now = now, events = events, maxlen = header.maxlen, ends = header.ends, retention = header.retention, dead = dead}
end
