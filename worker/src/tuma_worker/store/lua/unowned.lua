-- Which of these recipients of an intent nobody seems to have in hand. Changes nothing.
--
-- KEYS  1 entries  2 groups  3 due  4 inflight  5 intent
-- ARGV  1 short id  2... numbers
-- Returns {number, its field, ...} of those; what a worker holds, or what has come due again, may be among them.
--
-- Atomic, so that a job on its way from one set to another is seen in one of them. Repeatable: it only looks.
-- include: ready
-- include: move
-- include: tuma_worker.store/owned

local k = {entries = KEYS[1], groups = KEYS[2], due = KEYS[3], inflight = KEYS[4]}
local record, found = owned_record(KEYS[5]), {}
for i = 2, #ARGV do
  local packed = redis.call('HGET', KEYS[5], ARGV[i])
  if packed and record.at and not owned_by_somebody(k, record, packed, ARGV[1] .. ':' .. ARGV[i]) then
    found[#found + 1] = ARGV[i]
    found[#found + 1] = packed
  end
end
return found
