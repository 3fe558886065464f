-- Put a paused intent back into the line.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 state  9 bell  10 events  11 intent  12 answer  13 audit
-- ARGV  1 short id  2 JSON: {target, allowed, ends, retention, maxlen, by, occurrence: whether a schedule's,
--         handing_over: whether of one that the provider is to keep, act: as in withdraw.lua}
-- Returns {'unknown-intent'} · {'schedule', now, body}: reschedule.lua is for those · {'custody', how it stands}: ask.lua is for
--       those · {'ended'}: an occurrence that ended
--       · {'resumed' or how else the intent stands, number, state, ...}: where each recipient stands, as in withdraw.lua.
--
-- Atomic: a recipient that is `queued` without a job would be lost. Repeatable: a repeat is told its first answer, whatever others
-- have asked for since.
-- include: clock
-- include: ready
-- include: move
-- include: recipients
-- include: body
-- include: answered
-- include: audited

local id, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7],
  state = KEYS[8], bell = KEYS[9]}
local key = KEYS[11]
local first = answered(KEYS[12])
if first then
  return first
end
local about = redis.call('HMGET', key, 'lane', 'source', 'group', 'held', 'open', 'until', 'fired', 'custody')
if not about[5] then
  return {'unknown-intent'}
elseif about[7] then
  return {'schedule', now, body_read(key)}
elseif about[8] and not (header.handing_over and about[8] == 'handing-over') then
  return {'custody', about[8]}
elseif header.occurrence and about[5] == '0' then
  return {'ended'}
end
local lane, source, group, held = tonumber(about[1]), about[2], about[3], about[4]

if held == 'paused' then
  redis.call('HDEL', key, 'held')
  redis.call('XADD', KEYS[10], 'MAXLEN', '~', header.maxlen, '*', 'e', 'resumed', 'i', id, 's', source,
    'q', redis.call('HINCRBY', key, 'seq', 1), 'by', header.by)
  local until_ = tonumber(about[6] or 0)  -- until then it is held back, so that it can still be withdrawn
  local items = recipients_to_move(recipients_in_order(key), key, id, header.target, header.allowed, 'resumed')
  local groups, ready, put_off = {}, ready_time(now), false
  for _, item in ipairs(items) do
    local subject = id .. ':' .. item.number
    local its = move_group(group, item.was.packed)
    item.later, item.most = move_later(item.was.packed), move_most(item.was.packed)  -- no resume brings it forward, or together again
    local due = math.max(until_, item.later)
    if due > now then
      redis.call('ZADD', k.due, due, table.concat({lane, source, its, subject}, '|'))
      put_off = true
    else
      groups[its] = groups[its] or {}
      table.insert(groups[its], ready)
      table.insert(groups[its], subject)
    end
  end
  move_all(move_context(header, now, KEYS[10]), items)
  if put_off then
    ready_ring(k, 0, now)  -- it may be the next one due
  end
  for its, back in pairs(groups) do
    ready_push(k, lane, source, its, back)
  end
  if next(groups) then
    ready_ring(k, lane, now)
  end
  if header.act then
    audited(KEYS[13], header.by, 'resumed', 'intent', id, held, 'active')
  end
  held = 'resumed'
end

return answer(KEYS[12], recipients_told(key, {held or 'resumed'}))
