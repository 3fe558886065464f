-- Let recipients of an intent leave the line of an account that does not work, and write down which intent of another carries them.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 state  9 events  10 carried  11 intent  12 suppressed
-- ARGV  1 short id  2 JSON: {maxlen, ends, retention, lane, source, group: of their jobs, part: full id of the intent that
--         carries them, account: whose that is, turn: how many such intents there are with this one, plan: how it is to be written}
--       3... number, time of its job, its field, as they were seen, for each
-- Returns the numbers that go by that intent. Who is on this account's suppression list ends here instead, `suppressed`.
--
-- Atomic: nobody is in the line and carried at once, nor in neither. From here on the plan is what counts: whoever finds it carries
-- it out, under an id that it names, so that it comes to one intent. Repeatable: a repeat finds the plan. Nothing is planned where
-- the account works again, an operator has paused it, the intent is held, late or over, or somebody else has planned meanwhile.
-- include: clock
-- include: ready
-- include: move
-- include: listed
-- include: tuma_worker.store/leaving

local id, header, now = ARGV[1], cjson.decode(ARGV[2]), clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7],
  state = KEYS[8]}
local key, plan = KEYS[11], 'carrier:' .. header.part
local about = redis.call('HMGET', key, 'open', 'held', 'expires', 'turns', 'source', plan)

if about[6] then
  local going = {}
  for i = 3, #ARGV, 3 do
    if redis.call('HGET', key, 'carried:' .. ARGV[i]) == header.part then
      going[#going + 1] = ARGV[i]
    end
  end
  return going
end
local expires = tonumber(about[3] or '')
if not about[1] or about[1] == '0' or about[2] or (expires and expires <= now) or tonumber(about[4] or 0) ~= header.turn - 1
  or not leaving_needed(k, header) then
  return {}
end

local c = move_context(header, now, KEYS[9])
local since, going, ending = listed_scores(KEYS[12], ARGV, 3, 3), {}, {}
for i = 3, #ARGV, 3 do
  local seen = since[i / 3] and ending or going
  seen[#seen + 1], seen[#seen + 2], seen[#seen + 3] = ARGV[i], ARGV[i + 1], ARGV[i + 2]
end
leaving_move(c, k, key, id, header, ending, 1, 'suppressed', ON_LIST)
local gone = leaving_move(c, k, key, id, header, going, 1, 'accepted', 'carried:' .. header.account)
if #gone == 0 then
  return gone
end
redis.call('HSET', key, plan, header.plan, 'turns', header.turn)
for _, number in ipairs(gone) do
  redis.call('HSET', key, 'carried:' .. number, header.part)
end
redis.call('XADD', KEYS[9], 'MAXLEN', '~', header.maxlen, '*', 'e', 'carried', 'i', id, 's', about[5],
  'q', redis.call('HINCRBY', key, 'seq', 1), 'n', #gone, 'carrier', header.part)
redis.call('ZADD', KEYS[10], now, header.part)
return gone
