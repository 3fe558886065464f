-- Let numbers be called again that the provider has blamed.
--
-- KEYS  1 bad numbers  2 answer  3 audit
-- ARGV  1 who  2 the number, or '' for all of them
-- Returns how many were remembered.
--
-- Atomic, so that it counts whom it let go. Repeatable: a repeat is told its first answer, and lets go nobody who was blamed since.
-- include: answered
-- include: audited

local first = answered(KEYS[2])
if first then
  return first
end
local before = redis.call('ZCARD', KEYS[1])
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('ZREM', KEYS[1], ARGV[2])
end
local left = redis.call('ZCARD', KEYS[1])
if left < before then
  audited(KEYS[3], ARGV[1], 'forgotten', 'bad-numbers', '', before, left)
end
return answer(KEYS[2], before - left)
