-- Begin with a verb that was asked for during the hand-over.
--
-- KEYS  1 events  2 intent
-- ARGV  1 short id  2 verb  3 length of the event stream
-- Returns 1 where it is under way at the provider now, 0 where it is not its turn.
--
-- Atomic, so that the change is told. Repeatable: a repeat finds it begun.
-- include: moving

local about = redis.call('HMGET', KEYS[2], 'custody', 'verb', 'by', 'source')
if about[2] ~= ARGV[2] then
  return 0
end
if about[1] ~= MOVING[about[2]] then
  redis.call('HSET', KEYS[2], 'stood', about[1], 'custody', MOVING[about[2]])
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'e', 'custody-' .. MOVING[about[2]], 'i', ARGV[1], 's', about[4],
    'q', redis.call('HINCRBY', KEYS[2], 'seq', 1), 'w', ARGV[2], 'by', about[3])
end
return 1
