-- Take dead letters of one intent out of the index: they have been sent again, or an operator lets them go.
--
-- KEYS  1 dead  2 intent  3 events  4 audit
-- ARGV  1 short id  2 who does it  3 length of the event stream  4 plan's name, empty for a drop  5 id of the new intent, empty for a drop
--       6 what the audit calls all that are to leave, empty where it has been told  7... numbers
-- Returns how many have left in this step.
--
-- Atomic, so that who has left says where to, with its event. Repeatable: a recipient leaves, and is told of, once.
-- include: audited

local id, plan, left = ARGV[1], ARGV[4], 0
local before = redis.call('ZCARD', KEYS[1])

local function tell(event, number)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 'e', event, 'i', id, 's', redis.call('HGET', KEYS[2], 'source'),
    'q', redis.call('HINCRBY', KEYS[2], 'seq', 1), 'r', number, 'by', ARGV[2], 'as', ARGV[5])
end

local known = redis.call('EXISTS', KEYS[2]) == 1
for i = 7, #ARGV do
  local number, field = ARGV[i], 'redriven:' .. ARGV[i]
  local gone = redis.call('ZREM', KEYS[1], id .. ':' .. number)
  left = left + gone
  if plan == '' then
    if gone == 1 and known then
      tell('dropped', number)
    end
  elseif redis.call('HGET', KEYS[2], field) == '~' .. plan then
    redis.call('HSET', KEYS[2], field, ARGV[5])
    tell('redriven', number)
  end
end
if left > 0 and ARGV[6] ~= '' then
  audited(KEYS[4], ARGV[2], plan == '' and 'dropped' or 'redriven', 'dead', ARGV[6], before, before - left)
end
return left
