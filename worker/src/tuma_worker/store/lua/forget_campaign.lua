-- Take intents that have been forgotten out of their campaign; and forget the campaign where none is left.
--
-- KEYS  1 campaigns  2 index of the campaign
-- ARGV  1 name  2... short ids
-- Returns 1 where the campaign is forgotten, else 0.
--
-- Atomic: one that arrives meanwhile keeps it. One that is paused is kept, for what may still arrive. Repeatable: what is gone is gone.
-- include: clock
-- include: campaign

local c = {campaigns = KEYS[1], index = KEYS[2], name = ARGV[1]}
for from = 2, #ARGV, 1000 do
  redis.call('ZREM', c.index, unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
local stands = campaign_read(c)
if not stands then
  return 0
elseif redis.call('EXISTS', c.index) == 1 or stands.paused then
  stands.at = clock()  -- it is looked at again when as much time has passed
  campaign_write(c, stands)
  return 0
end
redis.call('HDEL', c.campaigns, c.name)
return 1
