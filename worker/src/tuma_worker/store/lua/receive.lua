-- Take in a message that a person wrote: tell of it, once, and put the number on the suppression list where that is what it asks for.
--
-- KEYS  1 inbox  2 parked  3 this message  4 suppressed  5 events
-- ARGV  1 entry in the inbox or ''  2 member of the parking place or ''  3 ms that it is known as taken in  4 number  5 to whom, or ''
--       6 text  7 word by which it asks for no more, or ''  8 length of the event stream
-- Returns 1 where it was news, 0 where it was taken in before.
--
-- Atomic: it is in the inbox until it has been told of, and who asks for no more is called no more from then on.
-- Repeatable: a message that comes again is known.
-- include: clock
-- include: listed

local news = redis.call('SET', KEYS[3], 1, 'NX', 'PX', ARGV[3]) and 1 or 0
if news == 1 then
  if ARGV[7] ~= '' and not listed_scores(KEYS[4], {ARGV[4]}, 1, 1)[1] then
    redis.call('ZADD', KEYS[4], 'NX', clock(), ARGV[4])
  end
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[8], '*', 'e', 'received', 'from', ARGV[4], 'to', ARGV[5], 'text', ARGV[6],
    'stop', ARGV[7])
end
if ARGV[1] ~= '' then
  redis.call('XDEL', KEYS[1], ARGV[1])
end
if ARGV[2] ~= '' then
  redis.call('ZREM', KEYS[2], ARGV[2])
end
return news
