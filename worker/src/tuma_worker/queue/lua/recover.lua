-- Bringing jobs back into the line: from workers that died, and from the due set. Needs ready.lua and held.lua.

-- The group of the job that ends what this one was for, where it was there each time a worker died; nil for what is nobody's to drop.
local function recover_last(group, subject)
  local actor = string.match(group, '^[^.]+')
  if actor == 'send' then
    return 'park.0.1.' .. subject
  elseif actor == 'steer' or actor == 'look' then
    return 'abandon.0.1.-'
  end
end

-- A send that stands alone and was there at so many deaths is parked, because it is the cause. Of many together one may be it: from the
-- second death on they go on in halves, until it stands alone; who comes to `begin` without it has nothing against it any more.
local function recover_suspects(held, deaths)
  local count = #held.items / 2
  if deaths < 2 or count == 1 then
    return held.group
  end
  return (string.gsub(held.group, '^([^.]+%.%d+)%.%d+%.', '%1.' .. math.ceil(count / 2) .. '.'))
end

-- How many deaths are counted against a job, with this one. They are forgotten a day after the first.
local function recover_count(k, subject)
  local deaths = redis.call('HINCRBY', k.crashes, subject, 1)
  if redis.call('PTTL', k.crashes) < 0 then
    redis.call('PEXPIRE', k.crashes, 86400000)
  end
  return deaths
end

-- A worker that died. Before `begin` no call was made: its jobs go back to their places and its permit is void. After it, the call
-- may have been made: somebody must look for evidence, and the permit counts until a grace after the lease, as the bytes may
-- still be under way.
local function recover_one(k, limits, config, id, now)
  local held = held_get(k, id)
  if not held then
    redis.call('ZREM', k.leases, id)
  elseif held.phase == 'calling' then
    ready_push(k, 0, SYSTEM, 'resolve.0.1.' .. id, {ready_time(now), id})
    held_grace(k, held, now, config.grace)
  elseif held.phase == 'ended' then
    held_end(k, limits, held, tonumber(redis.call('ZSCORE', k.leases, id)))
  else
    local back, sends, most = {}, string.sub(held.group, 1, 5) == 'send.', 0
    for i = 1, #held.items, 2 do
      local at, subject = held.items[i], held.items[i + 1]
      local deaths = recover_count(k, subject)
      most = math.max(most, deaths)
      if deaths >= config.crashes and (#held.items == 2 or not sends) then
        redis.call('HDEL', k.crashes, subject)
        local last = recover_last(held.group, subject)
        if last then
          ready_push(k, 0, SYSTEM, last, {at, subject})
        else  -- it is put off, so that the workers get on meanwhile
          redis.call('ZADD', k.due, now + 60000, table.concat({held.lane, held.source, held.group, subject}, '|'))
        end
      else
        back[#back + 1] = at
        back[#back + 1] = subject
      end
    end
    if #back > 0 then
      ready_push(k, held.lane, held.source, sends and recover_suspects(held, most) or held.group, back)
    end
    if held.weight.calls > 0 and not sends then
      held_grace(k, held, now, config.grace)  -- it makes its call without writing it down before: perhaps it has made it
    else
      held_void(k, held)
    end
  end
end

-- Returns whether there were any: what was given back is in the queue's state then.
local function recover_dead(k, limits, config, now)
  local dead = redis.call('ZRANGE', k.leases, '-inf', now, 'BYSCORE', 'LIMIT', 0, 20)
  for _, id in ipairs(dead) do
    recover_one(k, limits, config, id, now)
  end
  return #dead > 0
end

-- What has come due joins the line. Bounded: the rest is promoted by the next claim, which follows at once.
local function recover_due(k, most, now)
  local due = redis.call('ZRANGE', k.due, '-inf', now, 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  for i = 1, #due, 2 do
    local lane, source, group, subject = string.match(due[i], '^(%d)|([^|]*)|([^|]*)|(.*)$')
    ready_push(k, tonumber(lane), source, group, {ready_time(tonumber(due[i + 1])), subject})
    redis.call('ZREM', k.due, due[i])
  end
end

-- Intents whose deadline has passed: somebody must end what of them still waits, whatever it waits for. Many share a claim.
local function recover_late(k, most, now)
  local late = redis.call('ZRANGE', k.deadlines, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
  if #late > 0 then
    local at, items = ready_time(now), {}
    for _, id in ipairs(late) do
      items[#items + 1] = at
      items[#items + 1] = id
    end
    ready_push(k, 0, SYSTEM, 'expire.0.100.-', items)
    redis.call('ZREM', k.deadlines, unpack(late))
  end
end
