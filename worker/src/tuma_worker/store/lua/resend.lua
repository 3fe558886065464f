-- Put recipients whose call is proven, or decided, not to have been made back into the line.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 state  9 bell  10 batch  11 events  12... intents
-- ARGV  1 batch id  2 JSON: {maxlen, ends, retention, keep, allowed, evidence, reason, phase}
--       3... key index, short id, number for each recipient; those of one intent stand together
-- Returns how many went back: none where the attempt is not remembered any more, for only its record says where they belong.
--
-- One step, because a recipient that is `queued` without a job would be lost, and a job without it would be dropped.
-- include: clock
-- include: ready
-- include: move

local batch, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, spent = KEYS[7], state = KEYS[8],
  bell = KEYS[9]}
local record = redis.call('HMGET', KEYS[10], 'lane', 'source', 'group')
if not record[1] then
  return 0
end
local items = move_items(3, function(item)
  item.target, item.allowed, item.evidence, item.reason = 'queued', header.allowed, header.evidence, header.reason
  item.batch, item.fenced, item.provider_id = batch, true, ''
end)
local c = move_context(header, now, KEYS[11])
local back, at = {}, ready_time(now)
for i, result in ipairs(move_all(c, items)) do
  if result == 'moved' and items[i].target == 'queued' then
    back[#back + 1] = at
    back[#back + 1] = items[i].id .. ':' .. items[i].number
  end
end
if #back > 0 then
  local lane = tonumber(record[1])
  ready_push(k, lane, record[2], record[3], back)
  ready_ring(k, lane, now)
end
redis.call('HSET', KEYS[10], 'phase', header.phase)
redis.call('PEXPIRE', KEYS[10], header.keep)
return #back / 2
