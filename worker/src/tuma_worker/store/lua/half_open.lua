-- Let one send try whether a halted account may go on: its answer settles that for the others.
--
-- KEYS  1 state  2 bell
-- Returns 1, or 0 where the account is not halted.
--
-- Atomic, so that an account that is resumed meanwhile stays so. Repeatable: it is half open or it is not.
if redis.call('HEXISTS', KEYS[1], 'halt') == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'half_open', 1)
redis.call('HDEL', KEYS[1], 'quiet_until', 'quiet_from', 'alarm_at', 'alarm_by')
if redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('RPUSH', KEYS[2], 1)
end
return 1
