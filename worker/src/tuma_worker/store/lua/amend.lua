-- Change what is known of a subscription, if it still is what was seen, and say so.
--
-- KEYS  1 subscriptions  2 events  3 audit
-- ARGV  1 its id  2 what was seen  3 what it is to be  4 event, or empty  5 why  6 who  7 length of the event stream
--       8 what the audit calls it, empty where it is no person's doing  9 how it shows what was seen  10 and what it is to be
-- Returns 1 where it stands so now; 0 where something else was seen than what stands there, or nothing does.
--
-- Atomic: nobody's change is lost over another's, and none goes untold. Repeatable: a repeat finds it so, and is no second event.
-- include: audited

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
if ARGV[8] ~= '' then
  audited(KEYS[3], ARGV[6], ARGV[8], 'subscription', ARGV[1], ARGV[9], ARGV[10])
end
return 1
