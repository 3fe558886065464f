-- Take in a receipt about a recipient whose dates the provider keeps: count it, and end the recipient where no other is owed.
--
-- KEYS  1 batch  2 receipts of the batch that were taken in  3 events  4 dead  5 intent
-- ARGV  1 batch id  2 short id  3 number  4 digest of the receipt  5 state that it tells  6 evidence  7 reason
--       8 JSON: {maxlen, ends, retention, allowed: {state: from which it may be reached}}
-- Returns 1 where it was news, 0 where it was taken in before or is about no recipient of this attempt.
--
-- Atomic: a receipt that is counted has been remembered, its event told and what follows from it done. Repeatable: it counts once.
-- include: clock
-- include: move
-- include: tuma_worker.store/told

local batch, id, number, state, evidence, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[6], ARGV[7]
local header, key = cjson.decode(ARGV[8]), KEYS[5]
local packed = redis.call('HGET', key, number)
if not packed or not string.find(packed, '|' .. batch .. '|', 1, true) or redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
if redis.call('SADD', KEYS[2], ARGV[4]) == 0 then
  return 0
end
redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))

local c = move_context(header, clock(), KEYS[3], KEYS[4])
local of = tonumber(redis.call('HGET', key, 'of'))
local item = {key = key, id = id, number = number, target = state, evidence = evidence, reason = '', batch = batch,
  allowed = header.allowed[state]}
if move_is(header.ends, state) then
  local delivered, failed, last, why = told_of(key, number)
  if state == 'delivered' then
    delivered = delivered + 1
  else
    failed, last, why = failed + 1, state, reason
  end
  redis.call('HSET', key, 'tally:' .. number, table.concat({delivered, failed, last, why}, ' '))
  redis.call('XADD', c.events, 'MAXLEN', '~', c.maxlen, '*', 'e', 'counted', 'i', id, 's', redis.call('HGET', key, 'source'),
    'q', redis.call('HINCRBY', key, 'seq', 1), 'r', number, 'v', evidence, 'w', state == 'delivered' and '' or state, 'b', batch,
    'nd', delivered, 'nf', failed, 'of', of)
  item.target, item.evidence, item.allowed = 'sent', 'operator', header.allowed.sent
  item = told_end(key, id, number, of, batch, header.allowed) or item
end
move_all(c, {item})
return 1
