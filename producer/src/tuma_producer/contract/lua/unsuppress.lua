-- Take numbers off an account's suppression list. Recipients that ended for it stay ended.
--
-- KEYS  1 profile  2 suppressed
-- ARGV  1... numbers, at most a thousand
-- Returns how many were on it · -1 where the account is not known.
--
-- Repeatable: a repeat finds them gone.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
return redis.call('ZREM', KEYS[2], unpack(ARGV))
