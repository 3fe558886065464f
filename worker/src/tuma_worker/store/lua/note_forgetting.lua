-- Write down that a number is to be forgotten, and let it be called again if the provider has blamed it.
--
-- KEYS  1 bad numbers  2 answer  3 audit
-- ARGV  1 number  2 who asks  3 how many sends name it
-- Returns 0.
--
-- What is known of the number is taken out after this, in many steps: so whoever dies over them has been told of.
-- Atomic, as the first of these steps. Repeatable: a repeat writes nothing down.
-- include: answered
-- include: audited

local first = answered(KEYS[2])
if first then
  return first
end
redis.call('ZREM', KEYS[1], ARGV[1])
audited(KEYS[3], ARGV[2], 'forget-requested', 'number', '', ARGV[3], '')
return answer(KEYS[2], 0)
