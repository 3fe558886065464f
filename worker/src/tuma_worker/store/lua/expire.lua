-- End what waits past its deadline, whatever it waits for: a permit, a pause, a halt.
--
-- KEYS  1 events  2... intents
-- ARGV  1 JSON: {maxlen, ends, retention, allowed, most}  2... short id of each intent
-- Returns how many recipients ended: `most` at the most, so that nobody else waits long for the server; with so many, call again.
--
-- Jobs of these recipients that are still in the line are dropped when their turn comes. Repeatable: an end is an end.
-- include: clock
-- include: move

local header, now = cjson.decode(ARGV[1]), clock()
local items = {}
for i = 2, #KEYS do
  if #items == header.most then
    break
  end
  local about = redis.call('HMGET', KEYS[i], 'expires', 'open')
  local expires = tonumber(about[1] or '')
  if expires and expires <= now and about[2] ~= '0' then
    local record = redis.call('HGETALL', KEYS[i])
    for field = 1, #record, 2 do
      if #items < header.most and string.sub(record[field], 1, 1) == '+' and move_is(header.allowed, string.match(record[field + 1], '^%a+')) then
        items[#items + 1] = {key = KEYS[i], id = ARGV[i], number = record[field], target = 'expired', allowed = header.allowed,
          evidence = 'inferred', reason = 'deadline', batch = '', provider_id = ''}
      end
    end
  end
end
local c = {now = now, events = KEYS[1], maxlen = header.maxlen, ends = header.ends, retention = header.retention}
move_all(c, items)
return #items
