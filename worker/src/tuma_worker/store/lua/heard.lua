-- Note what the provider said about one of the calls in which an intent was handed over; after the last one, let somebody look how it stands.
--
-- KEYS  1 intent, then of the queue of looks:  2 entries  3 groups  4-6 sources of each lane  7 due  8 spent  9 state  10 bell
-- ARGV  1 short id  2 verb that is under way  3 field  4 what was said  5 '1' where a look is to follow
-- Returns 1, or 0 where that verb is under way no more.
--
-- Atomic: an answer that is noted has the job that goes on from it. Repeatable: the first note stands, with its job.
-- include: clock
-- include: ready

local id, now = ARGV[1], clock()
local k = {entries = KEYS[2], groups = KEYS[3], sources = {KEYS[4], KEYS[5], KEYS[6]}, due = KEYS[7], spent = KEYS[8], state = KEYS[9],
  bell = KEYS[10]}
if redis.call('HGET', KEYS[1], 'verb') ~= ARGV[2] then
  return 0
end
if redis.call('HSETNX', KEYS[1], ARGV[3], ARGV[4]) == 1 and ARGV[5] == '1' then
  ready_push(k, 0, redis.call('HGET', KEYS[1], 'source'), 'look.1.1.-', {ready_time(now), id})
  ready_ring(k, 0, now)
end
return 1
