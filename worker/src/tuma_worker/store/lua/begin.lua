-- Write an attempt down before its call is made, and learn who is still to be sent to.
--
-- KEYS  1 inflight  2 batch  3 events  4 bad numbers  5 crashes  6 suppressed  7... intents
-- ARGV  1 batch id  2 JSON: {token, maxlen, ends, retention, keep, sending: allowed, ended: allowed for those that end here,
--         lane, source, group, heed: whether bad numbers are left out}
--       3... key index, short id, number for each job; jobs of one intent stand together
-- Returns {'lost'} where the lease is gone · {'begun', body, left, now, position, tries, ...}: left is the ms until the earliest
--       deadline, -1 where there is none; the positions, from 1, are of the jobs to be sent, none where nothing is left, each with
--       the tries of its recipient, this call included. Who is past the deadline ends `expired` here, who is on the suppression
--       list `suppressed`, and who is known to be a bad number `rejected`: in the call it would spoil it for the others.
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
local c = move_context(header, now, KEYS[3])

local function live()
  local reply, deadline = {'begun', '', -1, now}, nil
  for i = 3, #ARGV, 3 do
    local key, number = KEYS[tonumber(ARGV[i])], ARGV[i + 2]
    if redis.call('HGET', KEYS[2], number) == ARGV[i + 1] then
      local found = redis.call('HMGET', key, number, 'expires')
      local expires = tonumber(found[2] or '')
      reply[2] = #reply == 4 and body_read(key) or reply[2]
      deadline = expires and math.min(expires, deadline or expires) or deadline
      reply[#reply + 1] = (i - 3) / 3 + 1
      reply[#reply + 1] = move_tries(found[1])
    end
  end
  reply[3] = deadline and math.max(0, deadline - now) or -1
  return reply
end

if phase == 'calling' then
  return live()
elseif phase == 'ended' then
  return {'lost'}
end

local bad_until = header.heed and listed_scores(KEYS[4], ARGV, 5, 3) or {}
local suppressed = listed_scores(KEYS[6], ARGV, 5, 3)

local deadlines = {}  -- by the keys of the intents, false where there is none
local function past(key)
  if deadlines[key] == nil then
    deadlines[key] = tonumber(redis.call('HGET', key, 'expires') or '') or false
  end
  return deadlines[key] and deadlines[key] <= now
end

local items = move_items(3, function(item)
  item.target, item.allowed, item.reason = 'sending', header.sending, ''
  item.evidence, item.batch, item.provider_id = 'inferred', ARGV[1], ''
end)
for i, item in ipairs(items) do
  if past(item.key) then
    item.target, item.allowed, item.reason = 'expired', header.ended, 'deadline'
  elseif suppressed[i] then
    item.target, item.allowed, item.reason = 'suppressed', header.ended, ON_LIST
  elseif now < tonumber(bad_until[i] or 0) then
    item.target, item.allowed, item.reason = 'rejected', header.ended, 'known-bad'
  end
end

local recipients, tried = {}, nil
for i, result in ipairs(move_all(c, items)) do
  if result == 'moved' and items[i].target == 'sending' then
    recipients[#recipients + 1] = items[i].number
    recipients[#recipients + 1] = items[i].id
    if tried ~= items[i].key then
      tried = items[i].key
      local before = redis.call('HGET', tried, 'attempts')
      redis.call('HSET', tried, 'attempts', (before and before .. ' ' or '') .. ARGV[1])
    end
  end
end
if #recipients > 0 then
  redis.call('HSET', KEYS[2], 'token', header.token, 'at', now, 'lane', header.lane, 'source', header.source, 'group', header.group,
    'phase', 'calling')
  for from = 1, #recipients, 1000 do
    redis.call('HSET', KEYS[2], unpack(recipients, from, math.min(from + 999, #recipients)))
  end
  redis.call('PEXPIRE', KEYS[2], header.keep)
  redis.call('HSET', KEYS[1], ARGV[1], 'calling' .. string.sub(packed, #phase + 1))
end
return live()
