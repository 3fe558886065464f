-- Apply evidence that came after the call: a receipt, or what a resolver found; or end, by our own decision, who waits in the line.
--
-- KEYS  1 batch  2 events  3 dead, then one key per provider id that the call is found to have, then the intents
-- ARGV  1 batch id  2 JSON: {maxlen, ends, retention, keep, target, allowed, evidence, reason, provider_id, provider_ids: how many,
--         dead, phase or null, look or null, unfenced, stood: ms or null, due: whether only those whose time has come}
--       3... key index, short id, number for each recipient; those of one intent stand together
-- Returns how many moved and how many were left, with the positions of those, from 1: {moved, left, position, ...}; {-1, left} where
--       a provider id is known to be another attempt's.
--
-- What the provider calls by one id was one call: of two attempts that find it in the books, the first adopts it. Only a receipt at
-- an attempt's own address knows better than that.
-- A recipient that meanwhile belongs to another attempt is left: this evidence is not about that one. `unfenced` is for news that is
-- about the recipient itself and not about any attempt. With `stood` who has moved since that time is left: there is news of it.
-- A recipient that another account carries is ended by what happens there: of a call that was refused here, or of a job that was left
-- behind, only that the provider took it after all is news.
-- Repeatable: a recipient moves forward only.
-- include: clock
-- include: move
-- include: recipients

local batch, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local taken = move_is(' submitted sent delivered ', header.target)
local items = move_items(3, function(item)
  item.target, item.allowed, item.evidence, item.reason = header.target, header.allowed, header.evidence, header.reason
  item.batch, item.fenced, item.stood, item.dead = batch, not header.unfenced, header.stood, header.dead
  item.due = header.due
  item.provider_id = header.provider_id ~= '' and header.provider_id or nil
  if not taken and recipients_carried(redis.call('HGET', item.key, item.number) or '') then
    item.allowed = ''
  end
end)
for i = 4, 3 + header.provider_ids do
  if not header.look and (redis.call('GET', KEYS[i]) or batch) ~= batch then
    return {-1, #items}
  end
end
local c = move_context(header, now, KEYS[2], KEYS[3])
local reply = {0, 0}
for i, result in ipairs(move_all(c, items)) do
  if result == 'moved' then
    reply[1] = reply[1] + 1
  else
    reply[2] = reply[2] + 1
    reply[#reply + 1] = i
  end
end
if header.phase and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'phase', header.phase)
  local keep = move_kept(KEYS[1], header.keep, now)
  redis.call('PEXPIRE', KEYS[1], keep)
  for i = 4, 3 + header.provider_ids do
    redis.call('SET', KEYS[i], batch, 'PX', keep)
  end
  if header.provider_id ~= '' and (redis.call('HGET', KEYS[1], 'provider_id') or '') == '' then
    redis.call('HSET', KEYS[1], 'provider_id', header.provider_id)
  end
  if header.look then  -- the first receipt that told of the call; of use only where its answer never comes
    redis.call('HSETNX', KEYS[1], header.look.field, now .. header.look.rest)
  end
end
return reply
