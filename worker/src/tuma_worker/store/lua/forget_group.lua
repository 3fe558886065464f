-- Let a group of consumers of an account's events go, with its place in them.
--
-- KEYS  1 events  2 answer  3 audit
-- ARGV  1 group  2 who
-- Returns 1 where it was there, else 0.
--
-- Atomic, so that it is told by whom. Repeatable: a repeat is told its first answer, and lets no group go that has begun since.
-- include: answered
-- include: audited

local first = answered(KEYS[2])
if first then
  return first
end
local gone = redis.call('EXISTS', KEYS[1]) == 1 and redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1]) or 0
if gone == 1 then
  audited(KEYS[3], ARGV[2], 'forgotten', 'group', ARGV[1], 'there', '')
end
return answer(KEYS[2], gone)
