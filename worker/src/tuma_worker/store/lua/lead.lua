-- Take a duty that one process is enough for, keep it, or leave it to another.
--
-- KEYS  1 the duty
-- ARGV  1 name of the process  2 ms for which it is the process's from now on, 0 where it is not any more
-- Returns 1 where it is the process's now · 0 where it is not
--
-- Atomic: of two that ask at once one has it, and nobody prolongs or ends the time of whoever has followed it. Repeatable: who has it
-- keeps it, and who has left it leaves it.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
  return 0
elseif ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
