-- Accept a send whose dates the provider is to keep: record, jobs for the one call that hands it over, deadline and event together.
--
-- KEYS  1 profile  2 entries  3 groups  4-6 sources of each lane  7 due  8 spent  9 state  10 bell  11 events
--       12 deadlines  13 suppressed  14 budgets  15 schedules  16 intent, then campaigns and the index of its campaign, only where the
--       send has one, then idempotency, only where it has such a key
-- ARGV  1 short id  2 source  3 lane  4 group  5 body  6 digest of what the idempotency key stands for  7 its life in ms
--       8 length of the event stream  9 ms that it is kept once it has ended  10 name of its campaign, or empty
--       11 the terms that it was checked by, as the profile publishes them, or empty
--       12 until when it must be handed over, Unix ms  13 its first date  14 its last  15 how many there are
--       16... numbers
-- Returns {'accepted', short id} · {'duplicate', short id of the first} · {'conflict', short id of the first} · {'unknown-account', short id}
--       · {'over-budget', which: budget.lua says how}
--       · {'again', now, terms or empty} where it was not checked by these terms, or where it is too late by now
--
-- Past its time for the hand-over it expires like any other: its first date would be too near. Repeatable: the id is the
-- request's token.
-- include: clock
-- include: ready
-- include: body
-- include: admit
-- include: listed
-- include: accept
-- include: campaign
-- include: budget

local id, now, campaign = ARGV[1], clock(), ARGV[10]
local new = {profile = KEYS[1], record = KEYS[16], key = KEYS[campaign == '' and 17 or 19], id = id, digest = ARGV[6]}
local known = admit_known(new)
if known then
  return known
end
local terms = redis.call('HGET', KEYS[1], 'keeps') or ''
if terms == '' or terms ~= ARGV[11] or now > tonumber(ARGV[12]) then
  return {'again', now, terms}
end
local over = budget_use(KEYS[14], KEYS[1], now,
  {source = ARGV[2], recipients = (#ARGV - 15) * ARGV[15], segments = budget_segments(ARGV[4])})
if over then
  return {'over-budget', over}
end
admit_keep(new, ARGV[7])
local k = {entries = KEYS[2], groups = KEYS[3], sources = {KEYS[4], KEYS[5], KEYS[6]}, due = KEYS[7], spent = KEYS[8], state = KEYS[9],
  bell = KEYS[10], deadlines = KEYS[12], suppressed = KEYS[13]}
local c = {now = now, events = KEYS[11], maxlen = ARGV[8], retention = ARGV[9]}
local paused = campaign ~= '' and campaign_join({campaigns = KEYS[17], index = KEYS[18], name = campaign}, id, now) or nil
redis.call('ZADD', KEYS[15], now, id)
redis.call('HSET', KEYS[16], 'custody', 'handing-over', 'first', ARGV[13], 'last', ARGV[14], 'of', ARGV[15])
accept(k, c, {key = KEYS[16], id = id, source = ARGV[2], lane = tonumber(ARGV[3]), group = ARGV[4], body = ARGV[5],
  numbers = ARGV, first = 16, hold = 0, expires = ARGV[12], paused = paused})
accept_flush(k, c)
return {'accepted', id}
