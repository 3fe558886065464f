-- Write down what a call came to: states, events, permit and what follows, in one step.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 inflight  9 leases  10 used  11 state  12 bell  13 batch
--       14 events  15 dead  16 bad numbers, then one list per limit, then one key per provider id, then the intents
-- ARGV  1 batch id  2 JSON: {limits, grace, permit: 'ended'|'void'|'grace', maxlen, ends, retention, keep, phase, code,
--         provider_id, moves: [{target, allowed, evidence, reason, dead}], retry: ms, group: for those that go back, or null,
--         resolve: ms, block: ms, halt: JSON or null, probe: {job: member of the due set, after: ms} or null, probe_ok,
--         pulse: {strike: code or null, after: strikes, opens: ms, most: ms} or null,
--         untried, untaken: what proves that nothing of the call was taken, or null, left: {limit name: what the provider says is left of it}, bad: numbers to be left out of calls, bad_for: ms,
--         price: what a message cost in this call, or nothing, cost: what the call did in millionths, where somebody watches the
--         account's money, late: whether the lease was lost}
--       3... key index, short id, number, move index, provider id for each recipient; those of one intent stand together
-- Returns {'settled', ...}, followed by 'halted', 'breaker-opened' and 'bulk-held' where this call made it so; or {'lost'} where the
--       lease is gone, or, for a late answer, where the attempt is not remembered: then nothing is changed.
--
-- A recipient whose move is `queued` goes back into the due set, `retry` ms from now, and is not called before. A recipient that a
-- receipt has already moved on stays where it is. With `untried` the call is not counted among the tries of those that go back.
-- An answer that is `late` is evidence, whoever brings it: it moves those whose last call this still was, and the queue learns what it
-- says of the account. Permit and lease are not its any more.
-- Repeatable: a repeat finds the batch settled, and what it made.
-- include: clock
-- include: ready
-- include: move
-- include: tuma_worker.queue/permits
-- include: tuma_worker.queue/known
-- include: tuma_worker.queue/held
-- include: tuma_worker.store/faults

local batch, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7],
  inflight = KEYS[8], leases = KEYS[9], used = KEYS[10], state = KEYS[11], bell = KEYS[12]}
local limits = header.limits
permits_steer(limits, k.state)
for i, limit in ipairs(limits) do
  limit.key = KEYS[16 + i]
end

local held = held_get(k, batch)
local calling = held and held.phase == 'calling'
if not calling then
  local record = redis.call('HMGET', KEYS[13], 'settled', 'made', 'lane', 'source', 'group')
  if record[1] == '1' then
    return {'settled', unpack(held_split(record[2] or ''))}
  elseif not header.late or not record[3] then
    return {'lost'}
  end
  held = {lane = record[3], source = record[4], group = record[5]}
end

local back = header.group or held.group
local most = tonumber(string.match(back, '^[^.]+%.%d+%.(%d+)%.'))
local items = move_items(5, function(item, move, provider_id)
  move = header.moves[tonumber(move)]
  item.target, item.allowed, item.evidence, item.reason = move.target, move.allowed, move.evidence, move.reason
  item.batch, item.fenced, item.provider_id, item.dead = batch, true, provider_id, move.dead
  if move.target == 'queued' then
    item.untried, item.later, item.most = header.untried, now + header.retry, most
  end
end)
local c = move_context(header, now, KEYS[14], KEYS[15])
if header.left and next(header.left) then
-- include: tuma_worker.queue/quotas
  quotas_heed(k.used, limits, header.left, now)
end

local put_off = header.resolve
for i, result in ipairs(move_all(c, items)) do
  if result == 'moved' and items[i].target == 'queued' then
    put_off = true
    redis.call('ZADD', k.due, now + header.retry,
      table.concat({held.lane, held.source, back, items[i].id .. ':' .. items[i].number}, '|'))
  end
end

local fields = {'phase', header.phase, 'code', header.code, 'ended', now, 'settled', 1}
if header.provider_id ~= '' then  -- a receipt may have told it where the answer did not
  fields[#fields + 1] = 'provider_id'
  fields[#fields + 1] = header.provider_id
end
redis.call('HSET', KEYS[13], unpack(fields))
if header.price then
  redis.call('HSET', k.state, 'price', header.price)
end
local keep = move_kept(KEYS[13], header.keep, now)
if header.untaken then
  redis.call('HSET', KEYS[13], 'untaken', header.untaken)
end
for i = 17 + #limits, 16 + #limits + header.provider_ids do
  redis.call('SET', KEYS[i], batch, 'PX', keep)
end

if header.bad then
  redis.call('ZREMRANGEBYSCORE', KEYS[16], '-inf', now)
  for _, number in ipairs(header.bad) do
    redis.call('ZADD', KEYS[16], now + header.bad_for, number)
  end
  redis.call('PEXPIRE', KEYS[16], header.bad_for)
end

if header.resolve then
  redis.call('HSET', KEYS[13], 'awaits', now + header.resolve)
  redis.call('ZADD', k.due, now + header.resolve, table.concat({0, SYSTEM, 'resolve.0.1.' .. batch, batch}, '|'))
else
  redis.call('PEXPIRE', KEYS[13], keep)
end
if put_off then
  held_wake(k)  -- it may be the next one due: whoever holds the alarm must look again
end
if calling and header.permit == 'void' then
  held_void(k, held)
elseif calling and header.permit == 'grace' then
  held_grace(k, held, now, header.grace)
elseif calling then
  held_end(k, limits, held, now)
end

local made = faults_heed(k, c, batch, header)
if header.cost then
-- include: tuma_worker.store/funds
  redis.call('HINCRBY', k.state, 'spent', string.format('%.0f', header.cost))
  if funds_heed(k.state, c.events, c.maxlen, now) == 'held' then
    made[#made + 1] = 'bulk-held'
  end
end
if #made > 0 then
  redis.call('HSET', KEYS[13], 'made', table.concat(made, ' '))
end
return {'settled', unpack(made)}
