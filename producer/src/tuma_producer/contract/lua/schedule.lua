-- Accept a schedule: its record, its places in the index and among what waits, and its event appear together or not at all.
--
-- KEYS  1 profile  2 intent  3 due  4 bell  5 events  6 schedules, then campaigns and the index of its campaign, only where
--       the schedule has one, then idempotency, only where it has such a key
-- ARGV  1 short id  2 source  3 lane  4 group of its occurrences  5 ms that each occurrence has from its firing, or empty  6 body
--       7 digest of what the idempotency key stands for  8 its life in ms  9 length of the event stream  10 numbers, with spaces between
--       11 name of its campaign, or empty  12 an instant in Unix ms  13 the first firing after it, or empty where there is none
-- Returns {'accepted', short id} · {'duplicate', short id of the first} · {'conflict', short id of the first} · {'unknown-account', short id}
--       · {'past'} where nothing of it is still to come · {'again', now} where `now` does not lie between the instant and that firing:
--       then the first firing after `now` is to be found
--
-- Only the server's clock says what is still to come, and only the caller can expand a schedule; so the caller guesses the time, and
-- this checks the guess. Repeatable: the id is the request's token.
-- include: clock
-- include: ready
-- include: body
-- include: admit
-- include: waits
-- include: campaign

local id, now, campaign, after, following = ARGV[1], clock(), ARGV[11], tonumber(ARGV[12]), tonumber(ARGV[13])
local new = {profile = KEYS[1], record = KEYS[2], key = KEYS[campaign == '' and 7 or 9], id = id, digest = ARGV[7]}
local known = admit_known(new)
if known then
  return known
end
if now < after or (following and following <= now) then
  return {'again', now}
elseif not following then
  return {'past'}
end
admit_keep(new, ARGV[8])

local numbers = ARGV[10]
local _, spaces = string.gsub(numbers, ' ', '')
redis.call('HSET', KEYS[2], 'source', ARGV[2], 'lane', ARGV[3], 'group', ARGV[4], 'at', now, 'expires', '', 'life', ARGV[5], 'open', 1,
  'seq', 1, 'next', ARGV[13], 'fired', 0, 'to', numbers, unpack(body_fields(ARGV[6])))
redis.call('ZADD', KEYS[6], now, id)
redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[9], '*', 'e', 'scheduled', 'i', id, 's', ARGV[2], 'q', 1, 'n', spaces + 1, 't', ARGV[13],
  body_traced(ARGV[6]))
local paused = campaign ~= '' and campaign_join({campaigns = KEYS[7], index = KEYS[8], name = campaign}, id, now)
if paused then
  redis.call('HSET', KEYS[2], 'held', 'paused', 'seq', 2)
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[9], '*', 'e', 'paused', 'i', id, 's', ARGV[2], 'q', 2, 'by', paused)
else
  waits_put({due = KEYS[3], bell = KEYS[4]}, id, following)
end
return {'accepted', id}
