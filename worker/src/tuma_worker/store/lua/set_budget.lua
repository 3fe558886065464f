-- Set what a source may use in a period, or take that away.
--
-- KEYS  1 budgets  2 audit
-- ARGV  1 source|period  2 the budget, as budget.lua reads it; empty to take it away  3 who
-- Returns 1 where the source has, or had, such a budget; else 0.
--
-- Atomic: what was used stands where the new budget counts it in the same way, and goes with the old one otherwise. Repeatable: a repeat
-- finds it so, and is no second entry.
-- include: audited

local stands = redis.call('HGET', KEYS[1], ARGV[1])
if (stands or '') == ARGV[2] then
  return stands and 1 or 0
end
local function counts(budget)
  return string.match(budget or '', '^%d+ (.*)$')
end
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
if counts(stands) ~= counts(ARGV[2]) then
  redis.call('HDEL', KEYS[1], ARGV[1] .. '|used')
end
audited(KEYS[2], ARGV[3], ARGV[2] == '' and 'removed' or 'set', 'budget',
  (string.gsub(ARGV[1], '|(%a+)$', ' %1')), stands or '', ARGV[2])
return 1
