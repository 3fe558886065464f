-- Take what still waits of an intent out of the line: for good, or until it is resumed.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 events  9 intent  10 answer  11 audit
-- ARGV  1 short id  2 JSON: {held: 'cancelled'|'paused', target, allowed, ends, retention, maxlen, by,
--         occurrence: whether a schedule's, part: whether one that carries another's recipients,
--         handing_over: whether of one that the provider is to keep, act: whether it is asked for by itself, and no part of more}
-- Returns {'unknown-intent'} · {'schedule'}: reschedule.lua is for those · {'custody', how it stands}: ask.lua is for those
--       · {'ended'}: an occurrence that ended by itself
--       · {'held', number, state, ...}: how the intent is held now, and where each recipient stands: `carried:<id>` for one that
--       another account carries by the intent of that id, which is to be asked next.
--
-- Atomic: whoever is told here as stopped has no call, and none begins. What a worker has claimed but not begun is dropped by
-- `begin`, which takes `queued` ones only; what comes back from a call finds how the intent is held in its record. Repeatable: the
-- repeat of a pause is told its first answer, whatever others have asked for since; that of a cancel finds it cancelled. A pause does
-- not hold what is cancelled. An intent that was to carry recipients and is not there yet must not come after this answer: so much of a
-- record is left that the script which would accept it finds it there.
-- include: clock
-- include: ready
-- include: move
-- include: recipients
-- include: pull
-- include: answered
-- include: audited

local id, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7]}
local key = KEYS[9]
local first = header.held == 'paused' and answered(KEYS[10])
if first then
  return first
end
local about = redis.call('HMGET', key, 'lane', 'source', 'group', 'at', 'held', 'open', 'fired', 'custody')
if not about[6] then
  if header.part then
    redis.call('HSET', key, 'held', 'cancelled')
    redis.call('PEXPIRE', key, header.retention)
  end
  return {'unknown-intent'}
elseif about[7] then
  return {'schedule'}
elseif about[8] and not (header.handing_over and about[8] == 'handing-over') then
  return {'custody', about[8]}
elseif header.occurrence and about[6] == '0' and about[5] ~= 'cancelled' then
  return {'ended'}
end
local source, held = about[2], about[5]

if held ~= header.held and held ~= 'cancelled' and about[6] ~= '0' then
  redis.call('HSET', key, 'held', header.held)
  redis.call('XADD', KEYS[8], 'MAXLEN', '~', header.maxlen, '*', 'e', header.held, 'i', id, 's', source,
    'q', redis.call('HINCRBY', key, 'seq', 1), 'by', header.by)
  local items = recipients_to_move(recipients_in_order(key), key, id, header.target, header.allowed, header.held)
  pull_jobs(k, {id = id, lane = tonumber(about[1]), source = source, group = about[3], at = tonumber(about[4])}, items)
  move_all(move_context(header, now, KEYS[8]), items)
  if header.act then
    audited(KEYS[11], header.by, header.held, 'intent', id, held or 'active', header.held)
  end
  held = header.held
end

local reply = recipients_told(key, {held or 'done'})
return header.held == 'paused' and answer(KEYS[10], reply) or reply
