-- Write down at home what became of recipients that another account carries, and how the plan for them stands.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 state  9 bell  10 events  11 dead  12 carried  13 intent
-- ARGV  1 short id  2 JSON: {maxlen, ends, retention, part: full id of the intent that carries them, plan: how it stands, or
--         nothing where it is over, next: ms until the next look, news: [{target, allowed, evidence, reason, dead}], late: allowed}
--       3... number, index of its news, provider's id for it, for each
-- Returns how many moved.
--
-- Who was withdrawn from there comes home with the news `queued`: into the line, or to where the intent is held meanwhile, or to
-- its end where it is late. From then on nothing that is said of that other intent is about it, unless that is its end. Atomic: a
-- recipient that is `queued` without a job would be lost. Repeatable: a recipient moves forward only, and comes home once.
-- include: clock
-- include: ready
-- include: move
-- include: recipients

local id, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7],
  state = KEYS[8], bell = KEYS[9]}
local key, part = KEYS[13], header.part
local about = redis.call('HMGET', key, 'lane', 'source', 'group', 'expires')
if not about[1] then
  redis.call('ZREM', KEYS[12], part)  -- the record's time is over
  return 0
end
local expires = tonumber(about[4] or '')
local late = expires and expires <= now

local items, home = {}, {}
for i = 3, #ARGV, 3 do
  local number, news = ARGV[i], header.news[tonumber(ARGV[i + 1])]
  local item = {key = key, id = id, number = number, target = news.target, allowed = news.allowed, evidence = news.evidence,
    reason = news.reason, dead = news.dead, batch = '', provider_id = ARGV[i + 2] ~= '' and ARGV[i + 2] or nil}
  if redis.call('HGET', key, 'carried:' .. number) == part then
    if news.target ~= 'queued' then
      items[#items + 1] = item
    elseif recipients_carried(redis.call('HGET', key, number)) then
      if late then
        item.target, item.allowed, item.reason = 'expired', header.late, 'deadline'
      end
      home[number] = true
      items[#items + 1] = item
    end
  end
end

local jobs, moved = {}, 0
for i, result in ipairs(move_all(move_context(header, now, KEYS[10], KEYS[11]), items)) do
  if result == 'moved' then
    moved = moved + 1
    if home[items[i].number] and not move_is(header.ends, items[i].target) then
      redis.call('HDEL', key, 'carried:' .. items[i].number)
    end
    if items[i].target == 'queued' then
      jobs[#jobs + 1] = ready_time(now)
      jobs[#jobs + 1] = id .. ':' .. items[i].number
    end
  end
end
if #jobs > 0 then
  ready_push(k, tonumber(about[1]), about[2], about[3], jobs)
  ready_ring(k, tonumber(about[1]), now)
end

if header.plan then
  redis.call('HSET', key, 'carrier:' .. part, header.plan)
  redis.call('ZADD', KEYS[12], 'XX', now + header.next, part)
else
  redis.call('HDEL', key, 'carrier:' .. part)
  redis.call('ZREM', KEYS[12], part)
end
return moved
