-- End what waits past its deadline, whatever it waits for: a permit, a pause, a halt.
--
-- KEYS  1 events  2... intents
-- ARGV  1 JSON: {maxlen, ends, retention, allowed, most}  2... short id of each intent
-- Returns how many recipients ended: `most` at the most, so that nobody else waits long for the server; with so many, call again.
--
-- Jobs of these recipients that are still in the line are dropped when their turn comes. Whom another account carries, that account
-- ends: only there it is known whether the call was made. Repeatable: an end is an end.
-- include: clock
-- include: move
-- include: recipients

local header, now = cjson.decode(ARGV[1]), clock()
local items = {}
for i = 2, #KEYS do
  if #items == header.most then
    break
  end
  local about = redis.call('HMGET', KEYS[i], 'expires', 'open')
  local expires = tonumber(about[1] or '')
  if expires and expires <= now and about[2] ~= '0' then
    for _, item in ipairs(recipients_to_move(recipients_of(KEYS[i]), KEYS[i], ARGV[i], 'expired', header.allowed, 'deadline')) do
      if #items < header.most then
        items[#items + 1] = item
      end
    end
  end
end
move_all(move_context(header, now, KEYS[1]), items)
return #items
