-- Take numbers off an account's suppression list. Recipients that ended for it stay ended.
--
-- KEYS  1 profile  2 suppressed  3 answer
-- ARGV  1... numbers, at most a thousand
-- Returns how many were on it · -1 where the account is not known.
--
-- Atomic, so that it counts whom it took off. Repeatable: a repeat is told its first answer, and takes off nobody who was added
-- since.
-- include: answered

local first = answered(KEYS[3])
if first then
  return first
elseif redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
return answer(KEYS[3], redis.call('ZREM', KEYS[2], unpack(ARGV)))
