-- Take a duty that one process is enough for, or keep it.
--
-- KEYS  1 the duty
-- ARGV  1 name of the process  2 ms for which it is the process's from now on
-- Returns 1 where it is the process's · 0 where it is another's
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
