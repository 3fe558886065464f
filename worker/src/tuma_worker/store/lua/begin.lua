-- Write an attempt down before its call is made, and learn who is still to be sent to.
--
-- KEYS  1 inflight  2 batch  3 events  4 bad numbers  5 crashes  6 suppressed  7 due  8... intents
-- ARGV  1 batch id  2 JSON: {token, maxlen, ends, retention, keep, sending: allowed, ended: allowed for those that end here,
--         lane, source, group, heed: whether bad numbers are left out}
--       3... key index, short id, number for each job; jobs of one intent stand together
-- Returns {'lost'} where the lease is gone · {'begun', body, left, now, position, tries, waited, ...}: left is the ms until the
--       earliest deadline, -1 where there is none; the positions, from 1, are of the jobs to be sent, none where nothing is left, each
--       with the tries of its recipient, this call included, and the ms since its intent was accepted. Who is past the deadline ends
--       `expired` here, who is on the suppression list `suppressed`, and who is known to be a bad number `rejected`: in the call it
--       would spoil it for the others. Who is put off is left: this is a second job of it, and the one that the delay made is still
--       to come.
--
-- Atomic because a worker that dies after the call must leave behind who was called. Repeatable: a repeat finds the attempt.
-- include: clock
-- include: move
-- include: body
-- include: listed

-- Whoever asks is alive: a lease that lapsed meanwhile was no death, and none that came before was these jobs' fault.
local function forget_deaths()
  if redis.call('EXISTS', KEYS[5]) == 0 then
    return
  end
  local subjects = {}
  for i = 3, #ARGV, 3 do
    subjects[#subjects + 1] = ARGV[i + 1] .. ':' .. ARGV[i + 2]
  end
  for from = 1, #subjects, 1000 do
    redis.call('HDEL', KEYS[5], unpack(subjects, from, math.min(from + 999, #subjects)))
  end
end

forget_deaths()
local packed = redis.call('HGET', KEYS[1], ARGV[1])
if not packed then
  return {'lost'}
end
local header, now = cjson.decode(ARGV[2]), clock()
local phase = string.match(packed, '^%a+')

local intents = {}  -- by their keys: {deadline: ms, or nil where there is none; at: ms when it was accepted}
local function intent(key)
  if not intents[key] then
    local times = redis.call('HMGET', key, 'expires', 'at')
    intents[key] = {deadline = tonumber(times[1] or ''), at = tonumber(times[2] or '') or now}
  end
  return intents[key]
end

-- live: {key, tries} by the positions of the jobs to be sent
local function begun(live)
  local reply, earliest = {'begun', '', -1, now}, nil
  for position = 1, (#ARGV - 2) / 3 do
    local one = live[position]
    if one then
      reply[2] = #reply == 4 and body_read(one.key) or reply[2]
      earliest = math.min(intent(one.key).deadline or earliest or math.huge, earliest or math.huge)
      reply[#reply + 1] = position
      reply[#reply + 1] = one.tries
      reply[#reply + 1] = math.max(0, now - intent(one.key).at)
    end
  end
  reply[3] = earliest and earliest < math.huge and math.max(0, earliest - now) or -1
  return reply
end

-- The call may have been made: the attempt says for whom.
local function repeated()
  local live = {}
  for i = 3, #ARGV, 3 do
    local key, number = KEYS[tonumber(ARGV[i])], ARGV[i + 2]
    if redis.call('HGET', KEYS[2], number) == ARGV[i + 1] then
      live[i / 3] = {key = key, tries = move_tries(redis.call('HGET', key, number))}
    end
  end
  return begun(live)
end

if phase == 'calling' then
  return repeated()
elseif phase == 'ended' then
  return {'lost'}
end

local bad_until, suppressed = {}, {}
if redis.call('EXISTS', KEYS[4], KEYS[6]) > 0 then
  bad_until = header.heed and listed_scores(KEYS[4], ARGV, 5, 3) or {}
  suppressed = listed_scores(KEYS[6], ARGV, 5, 3)
end

local items = move_items(3, function(item)
  item.target, item.allowed, item.reason = 'sending', header.sending, ''
  item.evidence, item.batch, item.provider_id = 'inferred', ARGV[1], ''
end)
for i, item in ipairs(items) do
  if (intent(item.key).deadline or math.huge) <= now then
    item.target, item.allowed, item.reason = 'expired', header.ended, 'deadline'
  elseif suppressed[i] then
    item.target, item.allowed, item.reason = 'suppressed', header.ended, ON_LIST
  elseif now < tonumber(bad_until[i] or 0) then
    item.target, item.allowed, item.reason = 'rejected', header.ended, 'known-bad'
  end
  item.due = item.target == 'sending'
end

local function job_of(item)
  return table.concat({header.lane, header.source, move_group(header.group, item.packed), item.id .. ':' .. item.number}, '|')
end

local c, recipients, live = move_context(header, now, KEYS[3]), {}, {}
c.attempt = ARGV[1]
for i, result in ipairs(move_all(c, items)) do
  if result == 'early' then  -- where its job is there already, it has this name
    redis.call('ZADD', KEYS[7], move_later(items[i].packed), job_of(items[i]))
  elseif result == 'moved' and items[i].target == 'sending' then
    recipients[#recipients + 1] = items[i].number
    recipients[#recipients + 1] = items[i].id
    live[i] = items[i]
  end
end
if #recipients > 0 then
  redis.call('HSET', KEYS[2], 'token', header.token, 'at', now, 'lane', header.lane, 'source', header.source, 'group', header.group,
    'phase', 'calling', unpack(recipients, 1, math.min(2000, #recipients)))
  for from = 2001, #recipients, 2000 do
    redis.call('HSET', KEYS[2], unpack(recipients, from, math.min(from + 1999, #recipients)))
  end
  redis.call('PEXPIRE', KEYS[2], header.keep)
  redis.call('HSET', KEYS[1], ARGV[1], 'calling' .. string.sub(packed, #phase + 1))
end
return begun(live)
