-- Give a subscription its group of consumers back where that was lost together with the stream.
--
-- KEYS  1 subscriptions  2 events
-- ARGV  1 its id  2 its group
-- Returns 1 where the group is there; 0 where the subscription was taken off: then nothing is made.
--
-- All that is in the stream now is news. Atomic: no group is left that nobody reads for. Repeatable.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[2], ARGV[2], 0, 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
  return made
end
return 1
