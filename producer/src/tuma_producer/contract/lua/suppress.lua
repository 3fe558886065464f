-- Put numbers on an account's suppression list: from now on no call begins with them.
--
-- KEYS  1 profile  2 suppressed  3 answer  4 audit
-- ARGV  1 who asks  2... numbers, at most a thousand
-- Returns how many were not on it yet · -1 where the account is not known.
--
-- Atomic, so that an account that is not known gets no list. A number keeps the time at which it was first added, and one that was
-- forgotten stays hidden. Repeatable: a repeat is told its first answer, and puts back nobody who was taken off since.
-- include: answered
-- include: audited
-- include: listed
-- include: clock

local first = answered(KEYS[3])
if first then
  return first
elseif redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
local now, members, since = clock(), {}, listed_scores(KEYS[2], ARGV, 2, 1)
for i = 2, #ARGV do
  if not since[i - 1] then
    members[#members + 1] = now
    members[#members + 1] = ARGV[i]
  end
end
local before, added = listed_size(KEYS[2]), 0
if #members > 0 then
  added = redis.call('ZADD', KEYS[2], 'NX', unpack(members))
  audited(KEYS[4], ARGV[1], 'added', 'suppressions', '', before, before + added)
end
return answer(KEYS[3], added)
