-- Let what is over, an intent or an attempt, be forgotten sooner than others, and the text of an intent before that.
--
-- KEYS  1 intent or attempt
-- ARGV  1 for how many ms it is kept from its end  2 for how many one is that nobody has looked at  3 its body without the text, or
--       empty where that stays
-- Returns 'done' · 'open' where something of it is still to come, or nothing is known of it: then nothing is changed.
--
-- `kept` in the record says from how many ms the time that is left is counted down. Atomic, so that nobody loses what a correction has
-- just opened again. Repeatable: the time that has gone by since the end is the same whichever way it is counted.
-- include: body

local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  return 'open'
end
local kept = tonumber(redis.call('HGET', KEYS[1], 'kept') or ARGV[2])
if left > kept then
  kept = tonumber(ARGV[2])  -- it was opened again, and has ended anew
end
if ARGV[3] ~= '' then
  body_replace(KEYS[1], ARGV[3])
  redis.call('HSET', KEYS[1], 'textless', 1)
end
redis.call('HSET', KEYS[1], 'kept', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1] - (kept - left))
return 'done'
