-- Put something in a queue's way, or change something about it, while it runs; or take that back.
--
-- KEYS  1 state  2 bell  3 events
-- ARGV  1 event  2 what it says  3 who  4 length of the event stream  5 new value, signed with time and name; empty to take away
--       6 field of the state, for whose value it is  7 the value that was seen there, if only that one is to be changed; and to take away:
--       8, 9... further fields that go with it, each with the value that was seen there, or empty where that does not matter
-- Returns 1 where it stands so now; 0 where something else was seen than what stands there: then nothing is changed.
--
-- Atomic, so that no change goes untold, and so that nothing goes that nobody has seen: a graver halt, another's pause. Repeatable: a
-- repeat finds the same signature, or nothing left to take away, and is no second event.
local function stands(field)
  return redis.call('HGET', KEYS[1], field)
end

if ARGV[5] ~= '' then
  if stands(ARGV[6]) == ARGV[5] then
    return 1
  end
  if ARGV[7] and stands(ARGV[6]) ~= ARGV[7] then
    return 0
  end
  redis.call('HSET', KEYS[1], ARGV[6], ARGV[5])
else
  if not stands(ARGV[6]) then
    return 1
  end
  for i = 6, #ARGV, 2 do
    if ARGV[i + 1] ~= '' and stands(ARGV[i]) ~= ARGV[i + 1] then
      return 0
    end
  end
  for i = 6, #ARGV, 2 do
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
-- What paced lanes have booked, they have booked at the rate of before.
local limit = string.match(ARGV[6], '^limit:(.*)$')
if limit then
  redis.call('HDEL', KEYS[1], 'pace:0:' .. limit, 'pace:1:' .. limit, 'pace:2:' .. limit)
end
-- What the alarm was set by may no longer hold.
redis.call('HDEL', KEYS[1], 'silent_until', 'silent_from', 'alarm_at', 'alarm_by')
if redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('RPUSH', KEYS[2], 1)
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'e', ARGV[1], 'w', ARGV[2], 'by', ARGV[3])
return 1
