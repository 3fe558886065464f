-- Let one send try whether a halted account may go on: its answer settles that for the others.
--
-- KEYS  1 state  2 bell
-- ARGV  1 the halt that is meant  2 since when it stands
-- Returns 1, or 0 where another halt stands by then, or none.
--
-- Atomic, so that an account that is resumed meanwhile stays so, and one with a graver fault stays halted. Repeatable: it is half
-- open or it is not.
-- include: tuma_worker.queue/alarm

local stands = redis.call('HMGET', KEYS[1], 'halt', 'halted_at')
if stands[1] ~= ARGV[1] or (stands[2] or '') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'half_open', 1)
alarm_void(KEYS[1], KEYS[2])
return 1
