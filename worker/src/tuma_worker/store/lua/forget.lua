-- Take a number out of an intent's record and out of the calls that it was in, once all is over with it there.
--
-- KEYS  1 intent  2 dead  3... batches of the intent
-- ARGV  1 short id  2 number  3 ends: ' state state '  4... fields of the record that may be there for the number, besides its own
-- Returns 1 where it was taken out · 0 where it is not there · -1 where something may still come of it: then nothing is changed.
--
-- The record goes with its last number: its text was for nobody else.
-- Atomic, so that nobody is told of under a number that is half gone. Repeatable: the second time it is not there.

local id, number = ARGV[1], ARGV[2]
local found = redis.call('HMGET', KEYS[1], number, 'to', 'open')
local packed, schedule, open = found[1], found[2], found[3]
local left = {}

local function leave_schedule()
  for one in string.gmatch(schedule, '%S+') do
    if one ~= number then
      left[#left + 1] = one
    end
  end
  if #left == #string.gsub(schedule, '[^ ]', '') + 1 then
    return 0
  elseif open ~= '0' then
    return -1
  end
  redis.call('HSET', KEYS[1], 'to', table.concat(left, ' '))
  return 1
end

local function leave_record()
  if not packed then
    return 0
  elseif not string.find(ARGV[3], ' ' .. string.match(packed, '^%a+') .. ' ', 1, true) then
    return -1
  end
  redis.call('HDEL', KEYS[1], number, unpack(ARGV, 4))
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(name, 1, 1) == '+' then
      left[1] = name
      break
    end
  end
  return 1
end

local gone = schedule and leave_schedule() or not schedule and leave_record() or 0
if gone ~= 1 then
  return gone
end
redis.call('ZREM', KEYS[2], id .. ':' .. number)
for i = 3, #KEYS do
  if redis.call('HGET', KEYS[i], number) == id then
    redis.call('HDEL', KEYS[i], number)
  end
end
if #left == 0 then
  redis.call('DEL', KEYS[1])
end
return 1
