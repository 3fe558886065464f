-- End what waits past its deadline, whatever it waits for: a permit, a pause, a halt.
--
-- KEYS  1 events  2 deadlines  3... intents
-- ARGV  1 JSON: {maxlen, ends, retention, allowed, most, again: ms}  2... short id of each intent
-- Returns how many recipients ended: `most` at the most, so that nobody else waits long for the server; with so many, call again.
--
-- Jobs of these recipients that are still in the line are dropped when their turn comes. Whom another account carries, that account
-- ends: only there it is known whether the call was made. Who is in a call may come back from it into a line that stands still: their
-- intent's deadline comes up `again`, until nobody of it is. Repeatable: an end is an end.
-- include: clock
-- include: move
-- include: recipients

local header, now = cjson.decode(ARGV[1]), clock()

local function is_late(key)
  local about = redis.call('HMGET', key, 'expires', 'open')
  local expires = tonumber(about[1] or '')
  return expires and expires <= now and about[2] ~= '0'
end

local items = {}
for i = 3, #KEYS do
  if #items == header.most then
    break
  end
  local id = ARGV[i - 1]
  if is_late(KEYS[i]) then
    local recipients = recipients_of(KEYS[i])
    for _, item in ipairs(recipients_to_move(recipients, KEYS[i], id, 'expired', header.allowed, 'deadline')) do
      if #items < header.most then
        items[#items + 1] = item
      end
    end
    for _, one in ipairs(recipients) do
      if one.state == 'sending' then
        redis.call('ZADD', KEYS[2], now + header.again, id)
        break
      end
    end
  end
end
move_all(move_context(header, now, KEYS[1]), items)
return #items
