-- Let recipients that an account carries for another leave its line, because it does not work either.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 state  9 events  10 intent
-- ARGV  1 short id  2 JSON: {maxlen, ends, retention, lane, source, group: of their jobs}
--       3... number, time of its job, its field, as they were seen, for each
-- Returns how many left.
--
-- Atomic: whoever is told at home as withdrawn here has no call, and none begins. Repeatable: who has left stays away.
-- include: clock
-- include: ready
-- include: move
-- include: tuma_worker.store/leaving

local header = cjson.decode(ARGV[2])
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7],
  state = KEYS[8]}
if not leaving_needed(k, header) then
  return 0
end
local c = move_context(header, clock(), KEYS[9])
return #leaving_move(c, k, KEYS[10], ARGV[1], header, ARGV, 3, 'cancelled', 'handed-back')
