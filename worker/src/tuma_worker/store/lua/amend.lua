-- Change what is known of a subscription, if it still is what was seen, and say so.
--
-- KEYS  1 subscriptions  2 events
-- ARGV  1 its id  2 what was seen  3 what it is to be  4 event, or empty  5 why  6 who  7 length of the event stream
-- Returns 1 where it stands so now; 0 where something else was seen than what stands there, or nothing does.
--
-- Atomic: nobody's change is lost over another's, and none goes untold. Repeatable: a repeat finds it so, and is no second event.
local stands = redis.call('HGET', KEYS[1], ARGV[1])
if stands == ARGV[3] then
  return 1
end
if stands ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if ARGV[4] ~= '' then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], '*', 'e', ARGV[4], 'sub', ARGV[1], 'w', ARGV[5], 'by', ARGV[6])
end
return 1
