-- Change what a schedule sends, to whom or when, from its next firing on; or only look at how it stands.
--
-- KEYS  1 due  2 bell  3 events  4 intent  5 answer  6 audit
-- ARGV  1 short id  2 JSON: {edits: how often it had been edited when it was looked at, timed: whether its times change, by, maxlen,
--         changed: the names of what changes}, or {} to look
--       3 group  4 body  5 numbers, with spaces between
--       6 where its times change: an instant in Unix ms  7 the firing to wait for, the first after it, or empty where there is none
-- Returns {'unknown-intent'} · {'custody'} where the provider keeps it · {'no-schedule'} · {'cancelled'} or {'done'} where it has ended
--       · to a look, and where somebody else has edited it since:
--         {'stands', now, edits, next, held or empty, source, lane, group, numbers, body}
--       · {'again', now} where `now` does not lie between the instant and that firing · {'past'} where nothing would be to come
--       · {'edited', 'scheduled' or 'paused', the firing it waits for}
--
-- Atomic: an occurrence is made wholly of what stood before or of what stands after it. One that has come due and has not fired yet stays
-- due if the new times have it as well. Repeatable: a repeat is told its first answer, whatever others have changed since; who asks for
-- what stands already is told so.
-- include: answered
-- include: audited
-- include: clock
-- include: ready
-- include: body
-- include: waits

local id, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k, key = {due = KEYS[1], bell = KEYS[2]}, KEYS[4]
local first = answered(KEYS[5])
if first then
  return first
end
local about = redis.call('HMGET', key, 'open', 'fired', 'held', 'edits', 'next', 'source', 'lane', 'group', 'to', 'custody')
local held, edits, following, numbers = about[3], tonumber(about[4] or 0), tonumber(about[5]), about[9]
if not about[1] then
  return {'unknown-intent'}
elseif about[10] then
  return {'custody'}
elseif not about[2] then
  return {'no-schedule'}
elseif about[1] == '0' then
  return {held or 'done'}
end

-- As the audit shows it: no text and nobody's number.
local function outline(to, firing, changed)
  local _, spaces = string.gsub(to, ' ', '')
  return string.format('%d|%.0f|%s', spaces + 1, firing, changed)
end

local function stands()
  return answer(KEYS[5], {'edited', held or 'scheduled', held and '' or string.format('%.0f', following)})
end

local body = body_read(key)
if header.edits and ARGV[4] == body and ARGV[5] == numbers then
  return stands()
elseif header.edits ~= edits then
  return {'stands', now, edits, about[5], held or '', about[6], about[7], about[8], numbers, body}
end

if header.timed then
  local after, chosen = tonumber(ARGV[6]), tonumber(ARGV[7])
  if now < after or (chosen and chosen <= now and chosen ~= following) then
    return {'again', now}
  elseif not chosen then
    return {'past'}
  end
  following = chosen
end
audited(KEYS[6], header.by, 'edited', 'schedule', id, outline(numbers, tonumber(about[5]), ''),
  outline(ARGV[5], following, header.changed))
body_replace(key, ARGV[4])
redis.call('HSET', key, 'group', ARGV[3], 'to', ARGV[5], 'edits', edits + 1, 'next', string.format('%.0f', following))
redis.call('XADD', KEYS[3], 'MAXLEN', '~', header.maxlen, '*', 'e', 'edited', 'i', id, 's', about[6],
  'q', redis.call('HINCRBY', key, 'seq', 1), 'by', header.by, 't', held and '' or string.format('%.0f', following))
if not held then
  waits_put(k, id, following)  -- also where only the text changes: a worker that has it in hand may be about to find it changed
end
return stands()
