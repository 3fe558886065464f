-- Put something in a queue's way, or change something about it, while it runs; or take that back.
--
-- KEYS  1 state  2 bell  3 events
-- ARGV  1 field of the state  2 its new value, signed with time and name; empty to take it away  3 event  4 what it says  5 who
--       6 length of the event stream  7... further fields that go with the first
-- Returns 1 where something changed, 0 where it was so already.
--
-- Atomic, so that no change goes untold. Repeatable: a repeat finds the same signature, or nothing left to take away.
if ARGV[2] == '' then
  if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
    return 0
  end
  for i = 7, #ARGV do
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
else
  if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
    return 0
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
-- What the alarm was set by may no longer hold.
redis.call('HDEL', KEYS[1], 'quiet_until', 'quiet_from', 'alarm_at', 'alarm_by')
if redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('RPUSH', KEYS[2], 1)
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'e', ARGV[3], 'w', ARGV[4], 'by', ARGV[5])
return 1
