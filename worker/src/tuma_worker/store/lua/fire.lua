-- Fire occurrences of a schedule that have come due, and let it wait for the next; or end it where there is none.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 state  9 bell  10 events  11 deadlines  12 suppressed  13 schedule
--       14 profile  15 budgets  16... occurrences
-- ARGV  1 short id of the schedule  2 JSON: {expected, next: firings in Unix ms, next nothing where none is left; edits: how often it had
--         been edited, with occurrences; ended: occurrences that the schedule need name no longer; retention, maxlen}
--       3... short id, firing in Unix ms, group, body of each occurrence
-- Returns how many fired · -1 where the schedule does not stand as expected: held, ended, edited, or decided further by somebody else
--
-- Atomic: an occurrence exists, with its jobs, if and only if the schedule has moved past it. Repeatable: a repeat finds that it has;
-- and ids are made of schedule and firing, so that nothing could make an occurrence twice. Without occurrences it only takes care
-- that the schedule has its place among what waits.
-- include: clock
-- include: ready
-- include: body
-- include: listed
-- include: accept
-- include: waits
-- include: budget

local id, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7], state = KEYS[8],
  bell = KEYS[9], deadlines = KEYS[11], suppressed = KEYS[12]}
local c = {now = now, events = KEYS[10], maxlen = header.maxlen, retention = header.retention}
local key = KEYS[13]
local about = redis.call('HMGET', key, 'open', 'held', 'next', 'source', 'lane', 'life', 'to', 'children', 'edits')
if about[1] ~= '1' or about[2] or tonumber(about[3]) ~= header.expected
  or (header.edits and header.edits ~= tonumber(about[9] or 0)) then
  return -1
end
local source, lane, life = about[4], tonumber(about[5]), tonumber(about[6])

local function tell(event, ...)
  redis.call('XADD', c.events, 'MAXLEN', '~', header.maxlen, '*', 'e', event, 'i', id, 's', source,
    'q', redis.call('HINCRBY', key, 'seq', 1), ...)
end

local numbers, children, ended = {}, {}, {}
for _, child in ipairs(header.ended) do
  ended[child] = true
end
for number in string.gmatch(about[7], '%S+') do
  numbers[#numbers + 1] = number
end
for child in string.gmatch(about[8] or '', '%S+') do
  if not ended[child] then
    children[#children + 1] = child
  end
end

local fired = 0
for i = 3, #ARGV, 4 do
  local child_key, child = KEYS[16 + (i - 3) / 4], ARGV[i]
  if redis.call('EXISTS', child_key) == 0 then
    local expires = life and string.format('%.0f', tonumber(ARGV[i + 1]) + life) or ''
    -- What its budget would have to say comes too late: it counts, so that there is less for what comes after it.
    budget_use(KEYS[15], KEYS[14], now, {source = source, recipients = #numbers, segments = budget_segments(ARGV[i + 2]), due = true})
    accept(k, c, {key = child_key, id = child, source = source, lane = lane, group = ARGV[i + 2], body = ARGV[i + 3],
      numbers = numbers, first = 1, hold = 0, expires = expires})
    tell('fired', 'o', child, 't', ARGV[i + 1])
    children[#children + 1] = child
    fired = fired + 1
  end
end
accept_flush(k, c)

if fired > 0 then
  redis.call('HSET', key, 'fired', redis.call('HGET', key, 'fired') + fired,
    'children', table.concat(children, ' '))
end
if header.next then
  redis.call('HSET', key, 'next', string.format('%.0f', header.next))
  waits_put(k, id, header.next)
else
  redis.call('ZREM', k.due, waits_name(id))
  tell('done')
  redis.call('HSET', key, 'open', 0, 'next', '')
  redis.call('PEXPIRE', key, header.retention)
end
return fired
