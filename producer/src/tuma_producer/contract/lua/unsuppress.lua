-- Take numbers off an account's suppression list. Recipients that ended for it stay ended.
--
-- KEYS  1 profile  2 suppressed  3 answer  4 audit
-- ARGV  1 who asks  2... numbers, at most a thousand
-- Returns how many were on it · -1 where the account is not known.
--
-- Atomic, so that it counts whom it took off. Repeatable: a repeat is told its first answer, and takes off nobody who was added
-- since.
-- include: answered
-- include: audited
-- include: listed

local first = answered(KEYS[3])
if first then
  return first
elseif redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
local key, removed = listed_key(KEYS[2]), redis.call('ZREM', KEYS[2], unpack(ARGV, 2))
if key then
  for i = 2, #ARGV do
    removed = removed + redis.call('ZREM', KEYS[2], listed_hidden(key, ARGV[i]))
  end
end
if removed > 0 then
  local left = listed_size(KEYS[2])
  if left == 0 then
    redis.call('DEL', KEYS[2])  -- its key would keep it from being seen as empty
  end
  audited(KEYS[4], ARGV[1], 'removed', 'suppressions', '', left + removed, left)
end
return answer(KEYS[3], removed)
