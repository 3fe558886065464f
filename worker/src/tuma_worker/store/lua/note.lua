-- Note something in an attempt's record that was not known when it was written down.
--
-- KEYS  1 batch
-- ARGV  1 field  2 value
-- Returns 1 where it is noted now, 0 where it was before or where the attempt has been forgotten.
--
-- Atomic, so that a record that is forgotten meanwhile does not come back without an end. Repeatable: the first note stands.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
