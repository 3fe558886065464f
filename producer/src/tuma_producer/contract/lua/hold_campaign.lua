-- Say that a campaign is paused, is not any more, is being cancelled, or has been cancelled: what arrives under its name goes by that.
--
-- KEYS  1 profile  2 campaigns  3 index of the campaign  4 answer  5 audit
-- ARGV  1 name  2 JSON: {verb: 'pause'|'resume'|'cancel', by} · {verb: 'cancelled', token, held} ; for cancel, token as well
-- Returns {'unknown-account'} · {'unknown-campaign'} · {'again', held} where others have arrived, held, since `held` was told
--       · {'so', held: how many have arrived so far while it was held}
--
-- Atomic: an intent arrives before, and is found in the index by whoever reads it afterwards, or after, and is held from the start.
-- Repeatable: a repeat is told its first answer, whatever others have asked for since. Of two who cancel, the later one ends it; who
-- dies over it leaves what arrives held.
-- include: answered
-- include: audited
-- include: clock
-- include: campaign

local c, header = {campaigns = KEYS[2], index = KEYS[3], name = ARGV[1]}, cjson.decode(ARGV[2])
local first = answered(KEYS[4])
if first then
  return first
elseif redis.call('EXISTS', KEYS[1]) == 0 then
  return {'unknown-account'}
end
local stands = campaign_read(c)
if not stands then
  return {'unknown-campaign'}
end

local DONE = {pause = 'paused', resume = 'resumed', cancel = 'cancelled'}
local before = stands.cancelling and 'cancelled' or stands.paused and 'paused' or 'active'
if header.verb == 'cancelled' and header.held ~= stands.held then
  return {'again', stands.held}
elseif header.verb == 'pause' then
  stands.paused = header.by
elseif header.verb == 'resume' then
  stands.paused, stands.cancelling, stands.by = nil, nil, nil
elseif header.verb == 'cancel' then
  stands.cancelling, stands.by = header.token, header.by
elseif stands.cancelling == header.token then
  stands.cancelling, stands.by = nil, nil
end
stands.at = clock()
campaign_write(c, stands)
if DONE[header.verb] then
  audited(KEYS[5], header.by, DONE[header.verb], 'campaign', c.name, before, header.verb == 'resume' and 'active' or DONE[header.verb])
end
return answer(KEYS[4], {'so', stands.held})
