-- Note what the provider says is left of an account's money, and let bulk wait or go by it; or, without a reserve, let it go.
--
-- KEYS  1 state of the sends' queue  2 bell  3 events  4 readings  5 answer of this request
-- ARGV  1 length of the event stream  2 what is kept, empty where nothing is any more  and else: 3 the time before the provider was asked, in Unix
--       ms  4 what was `spent` then  5 what is left  6 currency  7 ms that a reading is kept; amounts in millionths
-- Returns 'held' or 'released' where bulk does so from now on · 'same' where it stays as it was · 'older' where a later reading is
--       known: then nothing is changed.
--
-- What calls cost that end while the provider is asked is taken off, whether it is in its answer or not: until the next reading
-- the balance may look lower than it is, and never higher. Atomic, so that no change goes untold. Repeatable by its answer.
-- include: answered
-- include: clock
-- include: tuma_worker.queue/alarm
-- include: tuma_worker.store/funds

local state, now = KEYS[1], clock()
local first = answered(KEYS[5])
if first then
  return first
end

local function note(kept, at, spent, left, currency, keep)
  local latest = redis.call('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')[2]
  if latest and tonumber(latest) > tonumber(at) then
    return false
  end
  redis.call('HSET', state, 'funds', string.format('%.0f %s %s', left + spent - kept, kept, currency))
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - keep)
  redis.call('ZADD', KEYS[4], at, at .. ' ' .. left .. ' ' .. currency)
  redis.call('PEXPIRE', KEYS[4], keep)
  return true
end

if ARGV[2] == '' then
  redis.call('HDEL', state, 'funds')
elseif not note(unpack(ARGV, 2)) then
  return answer(KEYS[5], 'older')
end
local became = funds_heed(state, KEYS[3], ARGV[1], now)
if became == 'released' then
  alarm_void(state, KEYS[2])
end
return answer(KEYS[5], became or 'same')
