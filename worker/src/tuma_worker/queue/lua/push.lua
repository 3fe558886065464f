-- Put one job into a queue: a Dramatiq message, or a name of work for one of our own actors.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 state  9 bell  10 messages
-- ARGV  1 lane  2 source  3 group  4 subject  5 delay in ms  6 the message, or empty where the subject says it all
-- Returns 'pushed'.
--
-- A repeat after a lost reply may queue the job twice. That is what Dramatiq promises its actors anyway, and our own such jobs find
-- their work done.
-- include: clock
-- include: ready

local now = clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, spent = KEYS[7], state = KEYS[8],
  bell = KEYS[9]}
local lane, source, group, subject, delay = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[10], subject, ARGV[6])
end
if delay > 0 then
  redis.call('ZADD', KEYS[6], now + delay, table.concat({lane, source, group, subject}, '|'))
else
  ready_push(k, lane, source, group, {ready_time(now), subject})
end
if redis.call('LLEN', k.bell) == 0 then
  redis.call('RPUSH', k.bell, 1)  -- it may be the next one due, or one that goes whatever the limiter says
end
return 'pushed'
