-- Write down what a call came to: states, events, permit and what follows, in one step.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 inflight  9 leases  10 used  11 state  12 bell  13 batch  14 events
--       15 dead  16 bad numbers, then one list per limit, then one key per provider id, then the intents
-- ARGV  1 batch id  2 JSON: {limits, grace, permit: 'ended'|'void'|'grace', maxlen, ends, retention, keep, phase, code,
--         provider_id, verdicts: [{target, allowed, evidence, reason, dead}], retry: ms, group: for those that go back, or null,
--         resolve: ms, block: ms, halt: JSON or null, probe: {job: member of the due set, after: ms} or null, probe_ok,
--         pulse: {strike: code or null, after: strikes, opens: ms, most: ms} or null,
--         untried, left: {limit name: what the provider says is left of it}, bad: numbers to be left out of calls, bad_for: ms}
--       3... key index, short id, number, verdict index, provider id for each recipient; those of one intent stand together
-- Returns {'settled', ...}, followed by 'halted' and 'breaker-opened' where this call made it so; or {'lost'} where the lease is gone:
--       then nothing is changed and the answer must be offered as evidence.
--
-- A recipient whose verdict is `queued` goes back into the due set, `retry` ms from now. A recipient that a receipt has already
-- moved on stays where it is. With `untried` the call is not counted among the tries of those that go back.
-- Repeatable: a repeat finds the batch settled, and what it made.
-- include: clock
-- include: ready
-- include: move
-- include: tuma_worker.queue/permits
-- include: tuma_worker.queue/held

local batch, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7], inflight = KEYS[8],
  leases = KEYS[9], used = KEYS[10], state = KEYS[11], bell = KEYS[12]}
local limits = header.limits
permits_steer(limits, k.state)
for i, limit in ipairs(limits) do
  limit.key = KEYS[16 + i]
end

local held = held_get(k, batch)
if not held or held.phase ~= 'calling' then
  local before = redis.call('HMGET', KEYS[13], 'settled', 'made')
  return before[1] == '1' and {'settled', unpack(held_split(before[2] or ''))} or {'lost'}
end

local items = {}
for i = 3, #ARGV, 5 do
  local verdict = header.verdicts[tonumber(ARGV[i + 3])]
  items[#items + 1] = {key = KEYS[tonumber(ARGV[i])], id = ARGV[i + 1], number = ARGV[i + 2], target = verdict.target,
    allowed = verdict.allowed, evidence = verdict.evidence, reason = verdict.reason, batch = batch, provider_id = ARGV[i + 4],
    dead = verdict.dead, untried = header.untried and verdict.target == 'queued'}
end
local c = {now = now, events = KEYS[14], maxlen = header.maxlen, ends = header.ends, retention = header.retention,
  dead = KEYS[15]}
-- The provider counts less left than we do: somebody else uses the key. What they used counts here from now on like calls of the lowest
-- lane, so that floors stay whole. It never counts the other way: every call of ours counts here for at least as long as there.
for _, limit in ipairs(limits) do
  local left = header.left and header.left[limit.name]
  if left then
    local used = permits_used(k.used, limit, now)
    local strange = math.min(limit.count, limit.count - used[1] - used[2] - used[3] - left)
    if strange > 0 then
      permits_count(k.used, {limit}, 2, {calls = strange, messages = strange}, 1)
      permits_end({limit}, 2, {calls = strange, messages = strange}, now)
    end
  end
end

local put_off = header.resolve
for i, result in ipairs(move_all(c, items)) do
  if result == 'moved' and items[i].target == 'queued' then
    put_off = true
    redis.call('ZADD', k.due, now + header.retry,
      table.concat({held.lane, held.source, header.group or held.group, items[i].id .. ':' .. items[i].number}, '|'))
  end
end

redis.call('HSET', KEYS[13], 'phase', header.phase, 'code', header.code, 'provider_id', header.provider_id, 'ended', now,
  'settled', 1)
for i = 17 + #limits, 16 + #limits + header.provider_ids do
  redis.call('SET', KEYS[i], batch, 'PX', header.keep)
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
end
if put_off then
  held_wake(k)  -- it may be the next one due: whoever holds the alarm must look again
end
if header.permit == 'void' then
  held_void(k, limits, held)
elseif header.permit == 'grace' then
  held_grace(k, held, now, header.grace)
else
  held_end(k, limits, held, now)
end

-- One call goes first after a block, and while an account is half open: is it this one?
local probing = redis.call('HGET', k.state, 'probing') == batch
local half_open = redis.call('HEXISTS', k.state, 'half_open') == 1

local made = {}

local function tell(event, what, by)
  redis.call('XADD', KEYS[14], 'MAXLEN', '~', header.maxlen, '*', 'e', event, 'w', what, 'by', by)
end

-- Calls that were in flight with the one that halted the account have nothing to add, but the one that tried decides anew; and a fault
-- that only a person may lift counts whenever it is heard of, or a probe would lift it with the other.
local function halt()
  local before = redis.call('HGET', k.state, 'halt')
  local graver = before and not header.probe and not cjson.decode(before).operator
  if before and not (half_open and probing) and not graver then
    return
  end
  redis.call('HSET', k.state, 'halt', header.halt)
  redis.call('HSETNX', k.state, 'halted_at', now)
  redis.call('HDEL', k.state, 'half_open')
  if before ~= header.halt then
    redis.call('XADD', KEYS[14], 'MAXLEN', '~', header.maxlen, '*', 'e', 'halted', 'w', header.code)
    made[#made + 1] = 'halted'
  end
  if header.probe then
    redis.call('ZADD', k.due, now + header.probe.after, header.probe.job)
    held_wake(k)
  end
end

-- Returns for how long the breaker is open from now on, nil where this call does not open it. While it is open only the call that
-- tries counts: the others began before.
local function beat(pulse)
  local breaker = redis.call('HGET', k.state, 'breaker')
  local since, opens = now, pulse.opens
  if not pulse.strike then
    redis.call('HDEL', k.state, 'strikes')
    if breaker and probing then
      redis.call('HDEL', k.state, 'breaker')
      tell('breaker-closed', string.match(breaker, '^%S+ %S+ (.*)$'), 'probe')
    end
    return nil
  end
  local why
  if breaker then
    if not probing then
      return nil
    end
    local before
    since, before, why = string.match(breaker, '^(%S+) (%S+) (.*)$')
    opens = math.min(2 * tonumber(before), pulse.most)
  else
    local strikes = redis.call('HINCRBY', k.state, 'strikes', 1)
    if strikes < pulse.after then
      return nil
    end
    redis.call('HDEL', k.state, 'strikes')
    why = strikes .. ' x ' .. pulse.strike
    tell('breaker-opened', why, 'strikes')
    made[#made + 1] = 'breaker-opened'
  end
  redis.call('HSET', k.state, 'breaker', string.format('%.0f %.0f %s', since, opens, why))
  return opens
end

if header.halt then
  halt()
end
local block = header.block
local opens = header.pulse and beat(header.pulse)
if opens then
  block = math.max(block or 0, opens)
end
if block then
  local until_ms = math.max(now + block, tonumber(redis.call('HGET', k.state, 'blocked_until') or 0))
  redis.call('HSET', k.state, 'blocked_until', string.format('%.0f', until_ms))
  redis.call('HDEL', k.state, 'probing')
elseif probing then
  if header.probe_ok then
    redis.call('HDEL', k.state, 'probing')
  else
    redis.call('HSET', k.state, 'probing', 'next')
  end
  held_wake(k)
end
if half_open and probing and header.phase == 'accepted' then
  redis.call('HDEL', k.state, 'halt', 'halted_at', 'half_open')
  tell('resumed', 'halt', 'probe')
end
if #made > 0 then
  redis.call('HSET', KEYS[13], 'made', table.concat(made, ' '))
end
return {'settled', unpack(made)}
