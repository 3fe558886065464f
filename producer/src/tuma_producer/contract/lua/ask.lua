-- Ask the provider to cancel, pause or resume what it keeps of an intent; or tell what became of it.
--
-- KEYS  1 events  2 intent, then of the control queue:  3 entries  4 groups  5-7 sources of each lane  8 due  9 spent  10 state  11 bell
--       12 answer  13 audit
-- ARGV  1 short id  2 verb  3 who asks  4 length of the event stream  5 1 where it is asked for by itself, and no part of more
-- Returns {'unknown-intent'} · {answer, custody, number, state, ...} where answer is one of
--         requested: under way · done: so it stands · refused: it is cancelled, or that was asked for · too-late: nothing is still to come
--         unsupported: the provider cannot · unknown: it was never known to have it
--
-- Atomic: the job that carries the verb to the provider appears with what says that it is under way. One verb is under way at a time;
-- what else is asked for meanwhile follows it, the last of it alone. Repeatable: a repeat is told its first answer, whatever others have
-- asked for since. Who asks again later finds it under way, or what it came to; only a verb whose outcome stayed unknown is asked for
-- anew.
-- include: answered
-- include: audited
-- include: clock
-- include: moving
-- include: ready
-- include: recipients

local id, wanted, by, now = ARGV[1], ARGV[2], ARGV[3], clock()
local key = KEYS[2]
local k = {entries = KEYS[3], groups = KEYS[4], sources = {KEYS[5], KEYS[6], KEYS[7]}, due = KEYS[8], spent = KEYS[9], state = KEYS[10],
  bell = KEYS[11]}
local first = answered(KEYS[12])
if first then
  return first
end
local about = redis.call('HMGET', key, 'custody', 'verb', 'wish', 'asked', 'result', 'source', 'taken')
local custody, verb, wish, source = about[1], about[2], about[3], about[6]
if not custody then
  return {'unknown-intent'}
end

local TARGET = {pause = 'paused', resume = 'handed-over', cancel = 'cancelled'}

local flat, sending, cancelled = {}, false, false
for _, one in ipairs(recipients_in_order(key)) do
  sending = sending or one.state == 'sending' or one.state == 'submitted' or one.state == 'sent'
  cancelled = cancelled or one.state == 'cancelled'
  flat[#flat + 1] = one.number
  flat[#flat + 1] = one.state
end

local asked = false
local function tell(event, what)
  asked = true
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'e', event, 'i', id, 's', source,
    'q', redis.call('HINCRBY', key, 'seq', 1), 'w', what, 'by', by)
end

local function start()
  redis.call('HSET', key, 'verb', wanted, 'by', by)
  if custody == 'handing-over' then
    tell('custody-asked', wanted)  -- it is applied once the hand-over is over
  else
    redis.call('HSET', key, 'stood', custody, 'custody', MOVING[wanted])
    custody = MOVING[wanted]
    tell('custody-' .. custody, wanted)
  end
  ready_push(k, 0, source, 'steer.1.1.-', {ready_time(now), id})
  ready_ring(k, 0, now)
  return 'requested'
end

-- Another verb is under way, or waits for the hand-over.
local function follow()
  local latest = wish or verb
  if latest == wanted then
    return 'requested'
  elseif latest == 'cancel' then
    return 'refused'
  elseif verb == wanted then
    redis.call('HDEL', key, 'wish', 'wish_by')
  else
    redis.call('HSET', key, 'wish', wanted, 'wish_by', by)
  end
  tell('custody-asked', wanted)
  return 'requested'
end

local function decide()
  if verb then
    return follow()
  elseif custody == TARGET[wanted] or (custody == 'handing-over' and not sending) then
    return 'done'
  elseif custody == 'cancelled' then
    return 'refused'
  elseif custody == 'not-handed-over' and cancelled then
    return wanted == 'cancel' and 'done' or 'refused'  -- withdrawn while it still was ours
  elseif custody == 'over' or custody == 'not-handed-over' then
    return 'too-late'
  elseif custody == 'unknown-at-provider' and not about[7] then
    return 'unknown'
  elseif about[4] == wanted and (about[5] == 'unsupported' or about[5] == 'too-late') then
    return about[5]
  end
  return start()
end

local stood, told = custody, decide()
if told == 'requested' and asked and ARGV[5] == '1' then
  audited(KEYS[13], by, wanted .. '-requested', 'intent', id, stood, custody)
end
return answer(KEYS[12], {told, custody, unpack(flat)})
