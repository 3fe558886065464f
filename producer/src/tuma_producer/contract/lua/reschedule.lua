-- Change when a schedule fires next: never again, not until it is resumed, or from its next time on.
--
-- KEYS  1 due  2 bell  3 events  4 intent  5 answer  6 audit
-- ARGV  1 short id  2 JSON: {held: 'cancelled', 'paused' or nothing for a resumption, by, retention, maxlen,
--         act: as in withdraw.lua}
--       3 for a resumption: an instant in Unix ms  4 the first firing after it, or empty where there is none
-- Returns {'unknown-intent'} · {'again', now} where `now` does not lie between the instant and that firing
--       · {how it stands: 'scheduled', 'paused', 'cancelled' or 'done', next firing or empty, short id of an occurrence, ...}
--
-- Atomic: no occurrence comes into being after it is told that the schedule is paused or cancelled; those that have are all named, as
-- far as they are noted. What came and went while it was paused is passed over. Repeatable: a repeat is told its first answer, whatever
-- others have asked for since.
-- include: answered
-- include: audited
-- include: clock
-- include: ready
-- include: waits

local id, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k, key = {due = KEYS[1], bell = KEYS[2]}, KEYS[4]
local first = answered(KEYS[5])
if first then
  return first
end
local about = redis.call('HMGET', key, 'open', 'held', 'next', 'source')
local held = about[2]
if not about[1] then
  return {'unknown-intent'}
end

local function tell(event, ...)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', header.maxlen, '*', 'e', event, 'i', id, 's', about[4],
    'q', redis.call('HINCRBY', key, 'seq', 1), ...)
end

local function note(action, after)
  if header.act then
    audited(KEYS[6], header.by, action, 'schedule', id, held or 'scheduled', after)
  end
end

local function finish()
  redis.call('HSET', key, 'open', 0, 'next', '')
  redis.call('PEXPIRE', key, header.retention)
end

local function hold()
  redis.call('ZREM', k.due, waits_name(id))
  redis.call('HSET', key, 'held', header.held)
  tell(header.held, 'by', header.by)
  note(header.held, header.held)
  if header.held == 'cancelled' then
    finish()
  end
end

local function go_on(following)
  redis.call('HDEL', key, 'held')
  tell('resumed', 'by', header.by, 't', following or '')
  note('resumed', following and 'scheduled' or 'done')
  if following then
    redis.call('HSET', key, 'next', string.format('%.0f', following))
    waits_put(k, id, following)
  else
    tell('done')
    finish()
  end
end

if about[1] ~= '0' then
  if header.held and held ~= header.held then
    hold()
  elseif not header.held and held == 'paused' then
    local after, following = tonumber(ARGV[3]), tonumber(ARGV[4])
    if now < after or (following and following <= now) then
      return {'again', now}
    end
    go_on(following)
  end
end

local stands = redis.call('HMGET', key, 'open', 'held', 'next', 'children')
local reply = {stands[2] or (stands[1] == '0' and 'done' or 'scheduled'), stands[3]}
for child in string.gmatch(stands[4] or '', '%S+') do
  reply[#reply + 1] = child
end
return answer(KEYS[5], reply)
