-- Accept intents of one account: of each its record, jobs and event appear together or not at all.
--
-- KEYS  1 profile  2 entries  3 groups  4-6 sources of each lane  7 due  8 spent  9 state  10 bell  11 events
--       12 deadlines  13 suppressed  14 budgets, then for each intent its own, then campaigns and the index of its campaign, only where
--       it has one, then idempotency, only where it has such a key
-- ARGV  1 length of the event stream  2 ms that an intent is kept once it has ended  3 life of an idempotency key in ms, then for each:
--       its short id, source, lane, group, ms that it is held back so that it can be withdrawn, expiry in Unix ms or +ms from now or
--       empty, body, digest of what its idempotency key stands for or empty, name of its campaign or empty, how many numbers, numbers
-- Who is on the suppression list ends here, `suppressed`.
-- Returns two values for each: 'accepted', short id · 'duplicate', short id of the first · 'conflict', short id of the first
--       · 'unknown-account', short id · 'over-budget', which: budget.lua says how
--
-- Several in one call, because what a call costs beside its writes is more than they do. Repeatable: the id is each one's token; a
-- repeat finds the record and answers as the first time.
-- include: clock
-- include: ready
-- include: body
-- include: admit
-- include: listed
-- include: accept
-- include: campaign

local now = clock()
local k = {entries = KEYS[2], groups = KEYS[3], sources = {KEYS[4], KEYS[5], KEYS[6]}, due = KEYS[7], spent = KEYS[8], state = KEYS[9],
  bell = KEYS[10], deadlines = KEYS[12], suppressed = KEYS[13]}
local budgets = KEYS[14]
local c = {now = now, events = KEYS[11], maxlen = ARGV[1], retention = ARGV[2]}
local key, arg = 14, 3  -- the last ones that were used

local function next_key()
  key = key + 1
  return KEYS[key]
end

local function next_send()
  local one = {key = next_key(), id = ARGV[arg + 1], source = ARGV[arg + 2], lane = tonumber(ARGV[arg + 3]), group = ARGV[arg + 4],
    hold = tonumber(ARGV[arg + 5]), expires = ARGV[arg + 6], body = ARGV[arg + 7], digest = ARGV[arg + 8], campaign = ARGV[arg + 9]}
  local numbers, count = {}, tonumber(ARGV[arg + 10])
  for i = 1, count do
    numbers[i] = ARGV[arg + 10 + i]
  end
  one.numbers, arg = numbers, arg + 10 + count
  if one.campaign ~= '' then
    one.campaigns = {campaigns = next_key(), index = next_key(), name = one.campaign}
  end
  one.idempotency = one.digest ~= '' and next_key() or nil
  return one
end

-- Which budget it would exceed. What carries another account's recipients was counted there.
local function over_budget(one)
-- include: budget
  return not string.find(one.id, '~', 1, true) and budget_use(budgets, KEYS[1], now,
    {source = one.source, recipients = #one.numbers, segments = budget_segments(one.group)})
end

local function enqueue(one)
  local new = {profile = KEYS[1], record = one.key, suppressed = k.suppressed, budgets = budgets, key = one.idempotency, id = one.id, digest = one.digest}
  local known = admit_known(new)
  if known then
    return known
  end
  local over = not new.plain and over_budget(one)
  if over then
    return {'over-budget', over}
  end
  admit_keep(new, ARGV[3])
  if string.sub(one.expires, 1, 1) == '+' then
    one.expires = now + tonumber(string.sub(one.expires, 2))
  end
  one.paused = one.campaigns and campaign_join(one.campaigns, one.id, now) or nil
  one.first, one.unlisted = 1, new.plain
  accept(k, c, one)
  return {'accepted', one.id}
end

local replies = {}
while arg < #ARGV do
  local done, verdict = pcall(enqueue, next_send())
  if not done then
    accept_flush(k, c)  -- those before it are accepted, whatever is wrong with this one
    return type(verdict) == 'table' and verdict or {err = verdict}  -- as the server says it: thrown again it would be an ERR
  end
  replies[#replies + 1] = verdict[1]
  replies[#replies + 1] = verdict[2]
end
accept_flush(k, c)
return replies
