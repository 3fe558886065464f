-- Say that a group of consumers is so far behind that it is about to lose events; not again for a while.
--
-- KEYS  1 warned  2 events
-- ARGV  1 its name  2 ms for which it is not said again  3 length of the event stream
-- Returns 1 where it was said, else 0.
--
-- Atomic, so that it is said once. Repeatable: a repeat says nothing.
if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', ARGV[2]) then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'e', 'consumers-behind', 'group', ARGV[1])
return 1
