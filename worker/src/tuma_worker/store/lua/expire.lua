-- End what waits past its deadline, whatever it waits for: a permit, a pause, a halt.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 events  9 deadlines  10... intents
-- ARGV  1 JSON: {maxlen, ends, retention, allowed, most, again: ms}  2... short id of each intent
-- Returns how many recipients ended: `most` at the most, so that nobody else waits long for the server; with so many, call again.
--
-- Their jobs are taken out of the line: each would cost a claim, and its source a share of the lane, to be found dead. One that quiet
-- hours or a limit put off is dropped when its turn comes. Whom another account carries, that account ends: only there it is known
-- whether the call was made. Who is in a call may come back from it into a line that stands still: their intent's deadline comes up
-- `again`, until nobody of it is. Repeatable: an end is an end.
-- include: clock
-- include: move
-- include: ready
-- include: recipients
-- include: pull

local header, now = cjson.decode(ARGV[1]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7]}
local deadlines = KEYS[9]

-- What of an intent names its jobs; nil where its deadline has not passed, or nobody of it is left.
local function late_intent(key, id)
  local about = redis.call('HMGET', key, 'expires', 'open', 'lane', 'source', 'group', 'at')
  local expires = tonumber(about[1] or '')
  if expires and expires <= now and about[2] ~= '0' then
    return {id = id, lane = tonumber(about[3]), source = about[4], group = about[5], at = tonumber(about[6])}
  end
end

local items = {}
for i = 10, #KEYS do
  if #items == header.most then
    break
  end
  local id, its = ARGV[i - 8], {}
  local intent = late_intent(KEYS[i], id)
  if intent then
    local recipients = recipients_of(KEYS[i])
    for _, item in ipairs(recipients_to_move(recipients, KEYS[i], id, 'expired', header.allowed, 'deadline')) do
      if #items < header.most then
        items[#items + 1] = item
        its[#its + 1] = item
      end
    end
    pull_jobs(k, intent, its)
    for _, one in ipairs(recipients) do
      if one.state == 'sending' then
        redis.call('ZADD', deadlines, now + header.again, id)
        break
      end
    end
  end
end
move_all(move_context(header, now, KEYS[8]), items)
return #items
