-- Let a number that is forgotten stay on the suppression list, so that it is still found there, and nobody reads it.
--
-- KEYS  1 suppressed
-- ARGV  1 number  2 a fresh key, in hex, for a list on which nobody is hidden yet
-- Returns 1 where it is on the list, else 0: then nothing is changed.
--
-- Atomic: it is on the list all the while. Repeatable: the second time it is hidden already.
-- include: listed

local since = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not since then
  return listed_scores(KEYS[1], {ARGV[1]}, 1, 1)[1] and 1 or 0
end
local key = listed_key(KEYS[1])
if not key then
  key = ARGV[2]
  redis.call('ZADD', KEYS[1], 0, 'key:' .. key)
end
redis.call('ZADD', KEYS[1], 'NX', since, listed_hidden(key, ARGV[1]))
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
