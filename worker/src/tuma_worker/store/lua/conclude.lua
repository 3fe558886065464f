-- Write down what became of a verb that the provider was asked for, and go on with the one that was asked for meanwhile.
--
-- KEYS  1 events  2 dead  3 intent, then of the control queue:  4 entries  5 groups  6-8 sources of each lane  9 due  10 spent  11 state  12 bell
-- ARGV  1 short id  2 JSON: {maxlen, ends, retention, allowed: {state: from which it may be reached}, verb, custody, result,
--         of: dispatches owed from now on, or null; skipped: how many more fell into a pause, shows_pauses}
-- Returns 1, or 0 where that verb is under way no more.
--
-- Atomic: the answer that callers get and the event change together; and whoever is owed nothing more ends in the same step: as
-- told by receipts, or else `cancelled`, or `expired` where all dates fell into a pause. Repeatable: a repeat finds it concluded.
-- include: clock
-- include: ready
-- include: move
-- include: moving
-- include: tuma_worker.store/told

local id, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k = {entries = KEYS[4], groups = KEYS[5], sources = {KEYS[6], KEYS[7], KEYS[8]}, due = KEYS[9], spent = KEYS[10], state = KEYS[11],
  bell = KEYS[12]}
local key = KEYS[3]
local c = move_context(header, now, KEYS[1], KEYS[2])
local record, recipients, noted = redis.call('HGETALL', key), {}, {'verb', 'by', 'stood', 'held'}
local about = {}
for i = 1, #record, 2 do
  local name = record[i]
  if string.sub(name, 1, 1) == '+' then
    recipients[#recipients + 1] = {number = name, packed = record[i + 1]}
  elseif string.sub(name, 1, 5) == 'told:' or string.sub(name, 1, 6) == 'shown:' then
    noted[#noted + 1] = name
  else
    about[name] = record[i + 1]
  end
end
if about.verb ~= header.verb then
  return 0
end
table.sort(recipients, function(a, b) return a.number < b.number end)

local function tell(event, what, who)
  redis.call('XADD', c.events, 'MAXLEN', '~', c.maxlen, '*', 'e', event, 'i', id, 's', about.source,
    'q', redis.call('HINCRBY', key, 'seq', 1), 'w', what, 'by', who)
end

redis.call('HDEL', key, unpack(noted))
redis.call('HSET', key, 'custody', header.custody, 'asked', header.verb, 'result', header.result)
tell('custody-' .. header.custody, header.result, about.by)
if header.custody == 'paused' and about.paused_at == nil then
  redis.call('HSET', key, 'paused_at', now)
elseif header.custody ~= 'paused' then
  redis.call('HDEL', key, 'paused_at')
end
if header.shows_pauses then
  redis.call('HSET', key, 'shows_pauses', 1)
end
if header.skipped > 0 then
  redis.call('HINCRBY', key, 'skipped', header.skipped)
end

if header.of then
  redis.call('HSET', key, 'of', header.of)
  if header.custody == 'cancelled' then
    redis.call('HSET', key, 'last', math.min(now, tonumber(about.last)))  -- from here on silence counts
  end
  local items = {}
  for _, one in ipairs(recipients) do
    local batch = move_batch(one.packed)
    local item = told_end(key, id, one.number, header.of, batch, header.allowed)
    if not item and header.of == 0 and string.match(one.packed, '^%a+') == 'submitted' then
      local target = header.custody == 'cancelled' and 'cancelled' or 'expired'
      item = {key = key, id = id, number = one.number, target = target, evidence = 'provider', batch = batch,
        reason = header.custody == 'cancelled' and 'cancelled' or 'paused', allowed = header.allowed[target]}
    end
    items[#items + 1] = item
  end
  move_all(c, items)
end

-- What was asked for meanwhile. What has come to its end by now answers by itself.
local custody = redis.call('HGET', key, 'custody')
redis.call('HDEL', key, 'wish', 'wish_by')
if about.wish and custody ~= 'cancelled' and custody ~= 'over' and custody ~= 'not-handed-over' then
  redis.call('HSET', key, 'verb', about.wish, 'by', about.wish_by)
  if custody ~= 'handing-over' then
    redis.call('HSET', key, 'stood', custody, 'custody', MOVING[about.wish])
    tell('custody-' .. MOVING[about.wish], about.wish, about.wish_by)
  end
  ready_push(k, 0, about.source, 'steer.1.1.-', {ready_time(now), id})
  ready_ring(k, 0, now)
end
return 1
