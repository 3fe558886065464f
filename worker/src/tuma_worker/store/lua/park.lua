-- Put receipts about calls that nobody knows yet where they wait for them, out of the inbox.
--
-- KEYS  1 inbox  2 parked
-- ARGV  1 the most that wait  2 ms that the last one waits at most  3... entry in the inbox or '', member, when to look again (ms)
-- Returns how many found no room; they are gone.
--
-- Atomic: a receipt is in one of the two places. Repeatable: a member is there once.

local most, full = tonumber(ARGV[1]), 0
for i = 3, #ARGV, 3 do
  if redis.call('ZSCORE', KEYS[2], ARGV[i + 1]) or redis.call('ZCARD', KEYS[2]) < most then
    redis.call('ZADD', KEYS[2], ARGV[i + 2], ARGV[i + 1])
  else
    full = full + 1
  end
  if ARGV[i] ~= '' then
    redis.call('XDEL', KEYS[1], ARGV[i])
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return full
