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

local first = answered(KEYS[3])
if first then
  return first
elseif redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
local removed = redis.call('ZREM', KEYS[2], unpack(ARGV, 2))
if removed > 0 then
  local left = redis.call('ZCARD', KEYS[2])
  audited(KEYS[4], ARGV[1], 'removed', 'suppressions', '', left + removed, left)
end
return answer(KEYS[3], removed)
