-- Give recipients whose job is lost a job again: to be sent, or to be resolved where a call may have been made.
--
-- KEYS  1 entries  2 groups  3-5 sources of each lane  6 due  7 spent  8 inflight  9 state  10 bell  11 intent
-- ARGV  1 short id  2... number, its field as it was seen, for each
-- Returns how many were put back.
--
-- Atomic: whoever has moved since it was seen, or is in somebody's hand now, is left. Repeatable: a repeat finds the job. Should a job
-- be there twice after all, the second is dropped by `begin`, so that nobody is sent to twice.
-- include: clock
-- include: ready
-- include: move
-- include: tuma_worker.store/owned

local now = clock()
local k = {entries = KEYS[1], groups = KEYS[2], sources = {KEYS[3], KEYS[4], KEYS[5]}, due = KEYS[6], spent = KEYS[7], inflight = KEYS[8],
  state = KEYS[9], bell = KEYS[10]}
local record = owned_record(KEYS[11])

local held = {}  -- the subjects of the jobs that workers hold
local inflight = redis.call('HGETALL', k.inflight)
for i = 1, #inflight, 2 do
  if string.sub(inflight[i], -6) == ':items' then
    for subject in string.gmatch(inflight[i + 1], '%S+ (%S+)') do
      held[subject] = true
    end
  end
end

local back, count = {}, 0  -- back: {time, subject} of each, by its group
for i = 2, #ARGV, 2 do
  local number, packed = ARGV[i], redis.call('HGET', KEYS[11], ARGV[i])
  local subject = ARGV[1] .. ':' .. number
  if packed and packed == ARGV[i + 1] then
    local owned, since, batch = owned_by_somebody(k, record, packed, subject)
    if not owned and not held[batch or subject] then
      count = count + 1
      if batch then  -- one job looks for the evidence of all recipients of a call: the next of them is owned
        ready_push(k, 0, SYSTEM, 'resolve.0.1.' .. batch, {ready_time(now), batch})
      else
        local group = move_group(record.group, packed)
        if move_later(packed) > now then
          redis.call('ZADD', k.due, move_later(packed), table.concat({record.lane, record.source, group, subject}, '|'))
        else
          back[group] = back[group] or {}
          table.insert(back[group], {ready_time(since), subject})
        end
      end
    end
  end
end
-- To the places that they had: there the next look knows them by name.
for group, jobs in pairs(back) do
  table.sort(jobs, function(a, b) return a[1] < b[1] end)
  local items = {}
  for _, job in ipairs(jobs) do
    items[#items + 1] = job[1]
    items[#items + 1] = job[2]
  end
  ready_push(k, tonumber(record.lane), record.source, group, items)
end
if count > 0 then
  ready_ring(k, 0, now)
end
return count
