-- Bulk waits while less is left of an account's money than is kept for the lanes above it. Amounts are millionths of its currency.
--
-- Of the state of its sends' queue: `spent`, by all calls so far that told their cost; `funds`, at which of that bulk stops, how much is
-- kept, and the currency; `short`, since when bulk waits.

-- Let bulk wait, or go again. Returns 'held', 'released' or nothing where it stays as it was.
local function funds_heed(state, events, maxlen, now)
  local found = redis.call('HMGET', state, 'funds', 'spent', 'short')
  local stops_at, kept, currency = string.match(found[1] or '', '^(%S+) (%S+) (%S+)$')
  local left = stops_at and tonumber(stops_at) + tonumber(kept) - tonumber(found[2] or 0)
  local short = stops_at and left < tonumber(kept)
  if not short == not found[3] then
    return nil
  end
  if short then
    redis.call('HSET', state, 'short', now)
  else
    redis.call('HDEL', state, 'short')
  end
  local what = stops_at and string.format('%.14g %s left, %.14g kept', left / 1000000, currency, kept / 1000000) or 'no reserve'
  redis.call('XADD', events, 'MAXLEN', '~', maxlen, '*', 'e', short and 'bulk-held' or 'bulk-released', 'w', what, 'by', 'reserve')
  return short and 'held' or 'released'
end
