-- What a name of a campaign stands for: the intents that arrived under it, and whether they are held.
--
-- index: sorted set, all scores 0, of the short ids. Ids sort by time, so that it can be read page by page.
-- campaigns: name -> JSON {at: about when the last one arrived; paused: by whom, where it is paused; cancelling: the token of who cancels
--   it now, by; held: how many have arrived while it was paused or being cancelled}
local CAMPAIGN_STALE = 3600000  -- ms by which `at` may be behind

-- c: {campaigns, index, name}
local function campaign_read(c)
  local packed = redis.call('HGET', c.campaigns, c.name)
  return packed and cjson.decode(packed)
end

local function campaign_write(c, stands)
  redis.call('HSET', c.campaigns, c.name, cjson.encode(stands))
end

-- An intent arrives. Returns in whose name it is held from the start, nil where it is not.
local function campaign_join(c, id, now)
  redis.call('ZADD', c.index, 0, id)
  local stands = campaign_read(c) or {at = 0, held = 0}
  local by = stands.paused or (stands.cancelling and stands.by)
  if by or now - stands.at > CAMPAIGN_STALE then
    stands.at, stands.held = now, stands.held + (by and 1 or 0)
    campaign_write(c, stands)
  end
  return by
end
