-- Accept an intent: record, jobs and event appear together or not at all.
--
-- KEYS  1 profile  2 intent  3 entries  4 groups  5-7 sources of each lane  8 due  9 spent  10 state  11 bell  12 events
--       13 deadlines  14 suppressed, then campaigns and the index of its campaign, only where the intent has one, then idempotency,
--       only where it has such a key
-- ARGV  1 short id  2 source  3 lane  4 group  5 ms that it is held back so that it can be withdrawn  6 expiry in Unix ms, +ms from now, or empty
--       7 body  8 digest of what the idempotency key stands for  9 its life in ms  10 length of the event stream
--       11 ms that it is kept once it has ended  12 name of its campaign, or empty  13... numbers
-- Who is on the suppression list ends here, `suppressed`.
-- Returns {'accepted', short id} · {'duplicate', short id of the first} · {'conflict', short id of the first} · {'unknown-account'}
--
-- Repeatable: the id is the request's token; a repeat finds the record and answers as the first time.
-- include: clock
-- include: ready
-- include: body
-- include: admit
-- include: listed
-- include: accept
-- include: campaign

local id, now, campaign = ARGV[1], clock(), ARGV[12]
local new = {profile = KEYS[1], record = KEYS[2], suppressed = KEYS[14], key = KEYS[campaign == '' and 15 or 17], id = id, digest = ARGV[8]}
local known = admit_known(new)
if known then
  return known
end
admit_keep(new, ARGV[9])

local expires = ARGV[6]
if string.sub(expires, 1, 1) == '+' then
  expires = now + tonumber(string.sub(expires, 2))
end
local k = {entries = KEYS[3], groups = KEYS[4], sources = {KEYS[5], KEYS[6], KEYS[7]}, due = KEYS[8], spent = KEYS[9], state = KEYS[10],
  bell = KEYS[11], deadlines = KEYS[13], suppressed = KEYS[14]}
local c = {now = now, events = KEYS[12], maxlen = ARGV[10], retention = ARGV[11]}
local paused = campaign ~= '' and campaign_join({campaigns = KEYS[15], index = KEYS[16], name = campaign}, id, now) or nil
accept(k, c, {key = KEYS[2], id = id, source = ARGV[2], lane = tonumber(ARGV[3]), group = ARGV[4], body = ARGV[7],
  numbers = ARGV, first = 13, hold = tonumber(ARGV[5]), expires = expires, paused = paused,
  unlisted = new.unlisted})
return {'accepted', id}
