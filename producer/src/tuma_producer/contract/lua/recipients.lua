-- Whether another account carries a recipient: at home it is `accepted`, with a reason that says so, until there is news of it.
local function recipients_carried(packed)
  return string.find(packed, '^accepted|[^|]*|[^|]*|carried:') ~= nil
end

-- All recipients of an intent, as its record has them: {number, packed, state} of each, in no order. Of one that another account
-- carries, the state is `carried:` and by which intent: nothing that is done here with others is done with it.
local function recipients_of(key)
  local record, found, parts = redis.call('HGETALL', key), {}, {}
  for i = 1, #record, 2 do
    if string.sub(record[i], 1, 1) == '+' then
      found[#found + 1] = {number = record[i], packed = record[i + 1], state = string.match(record[i + 1], '^%a+')}
    elseif string.sub(record[i], 1, 8) == 'carried:' then
      parts[string.sub(record[i], 9)] = record[i + 1]
    end
  end
  for _, one in ipairs(found) do
    if parts[one.number] and recipients_carried(one.packed) then
      one.state = 'carried:' .. parts[one.number]
    end
  end
  return found
end

local function recipients_in_order(key)
  local found = recipients_of(key)
  table.sort(found, function(a, b) return a.number < b.number end)
  return found
end

-- Those of them that may move, as items for move.lua. The move is our own, and about no attempt. Needs move.lua.
local function recipients_to_move(recipients, key, id, target, allowed, reason)
  local items = {}
  for _, one in ipairs(recipients) do
    if move_is(allowed, one.state) then
      items[#items + 1] = {key = key, id = id, number = one.number, target = target, allowed = allowed, evidence = 'inferred',
        reason = reason, batch = '', was = one}
    end
  end
  return items
end

-- The reply, with {number, state, ...} of each of them behind it.
local function recipients_told(key, reply)
  for _, one in ipairs(recipients_in_order(key)) do
    reply[#reply + 1] = one.number
    reply[#reply + 1] = one.state
  end
  return reply
end
