-- Decide by which plan dead letters of an intent are sent again, before they are: each recipient by one plan only.
--
-- KEYS  1 dead  2 intent
-- ARGV  1 short id  2 plan's name  3 what was chosen for it, as JSON  4... numbers
-- Returns how many of the numbers go by this plan now.
--
-- Atomic, because two operators may choose the same recipient at the same moment. Repeatable: who goes by this plan already still does.
local going = 0
for i = 4, #ARGV do
  local field = 'redriven:' .. ARGV[i]
  local plan = redis.call('HGET', KEYS[2], field)
  if not plan and redis.call('ZSCORE', KEYS[1], ARGV[1] .. ':' .. ARGV[i]) then
    redis.call('HSET', KEYS[2], field, '~' .. ARGV[2])
    plan = '~' .. ARGV[2]
  end
  if plan == '~' .. ARGV[2] then
    going = going + 1
  end
end
if going > 0 then
  redis.call('HSET', KEYS[2], 'plan:' .. ARGV[2], ARGV[3])
end
return going
