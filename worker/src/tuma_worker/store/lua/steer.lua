-- Put something in a queue's way, or change something about it, while it runs; or take that back.
--
-- KEYS  1 state  2 bell  3 events  4 audit
-- ARGV  1 event  2 what it says  3 who  4 length of the event stream  5 what the audit calls it
--       6 new value, signed with time and name; empty to take away
--       7 field of the state, for whose value it is  8 the value that was seen there, if only that one is to be changed; and to take away:
--       9, 10... further fields that go with it, each with the value that was seen there, or empty where that does not matter
-- Returns 1 where it stands so now; 0 where something else was seen than what stands there: then nothing is changed.
--
-- Atomic, so that no change goes untold, and so that nothing goes that nobody has seen: a graver halt, another's pause. Repeatable: a
-- repeat finds the same signature, or nothing left to take away, and is no second event.
-- include: audited
-- include: tuma_worker.queue/alarm

local KIND = {paused = 'queue', limit = 'limit', halt = 'account', breaker = 'account'}  -- by the field's first word

local function stands(field)
  return redis.call('HGET', KEYS[1], field)
end

local before = stands(ARGV[7])
if ARGV[6] ~= '' then
  if before == ARGV[6] then
    return 1
  end
  if ARGV[8] and before ~= ARGV[8] then
    return 0
  end
  redis.call('HSET', KEYS[1], ARGV[7], ARGV[6])
else
  if not before then
    return 1
  end
  for i = 7, #ARGV, 2 do
    if ARGV[i + 1] ~= '' and stands(ARGV[i]) ~= ARGV[i + 1] then
      return 0
    end
  end
  for i = 7, #ARGV, 2 do
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
-- What paced lanes have booked, they have booked at the rate of before.
local limit = string.match(ARGV[7], '^limit:(.*)$')
if limit then
  redis.call('HDEL', KEYS[1], 'pace:0:' .. limit, 'pace:1:' .. limit, 'pace:2:' .. limit)
end
alarm_void(KEYS[1], KEYS[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'e', ARGV[1], 'w', ARGV[2], 'by', ARGV[3])
if ARGV[1] ~= 'halted' then  -- that is no person's doing
  audited(KEYS[4], ARGV[3], ARGV[1], KIND[string.match(ARGV[7], '^%a+')], ARGV[5], before or '', ARGV[6])
end
return 1
