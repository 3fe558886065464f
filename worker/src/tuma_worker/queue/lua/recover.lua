-- Bringing jobs back into the line: from workers that died, and from the due set. Needs held.lua.

-- A worker that died. Before `begin` no call was made: its jobs go back to their places and its permit is void. After it, the call
-- may have been made: somebody must look for evidence, and the permit counts until a grace after the lease, as the bytes may
-- still be under way. A job that was there at several deaths is parked, because it may be the cause.
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
    local back, sends = {}, string.sub(held.group, 1, 5) == 'send.'
    for i = 1, #held.items, 2 do
      local at, subject = held.items[i], held.items[i + 1]
      if redis.call('HINCRBY', k.crashes, subject, 1) >= config.crashes then
        redis.call('HDEL', k.crashes, subject)
        if held.weight.calls > 0 and sends then
          ready_push(k, 0, SYSTEM, 'park.0.1.' .. subject, {at, subject})
        else  -- not a send, and nobody's to drop: it is put off, so that the workers get on meanwhile
          redis.call('ZADD', k.due, now + 60000, table.concat({held.lane, held.source, held.group, subject}, '|'))
        end
      else
        back[#back + 1] = at
        back[#back + 1] = subject
      end
    end
    redis.call('PEXPIRE', k.crashes, 86400000)
    if #back > 0 then
      ready_push(k, held.lane, held.source, held.group, back)
    end
    if held.weight.calls > 0 and not sends then
      held_grace(k, held, now, config.grace)  -- it makes its call without writing it down before: perhaps it has made it
    else
      held_void(k, limits, held)
    end
  end
end

local function recover_dead(k, limits, config, now)
  for _, id in ipairs(redis.call('ZRANGE', k.leases, '-inf', now, 'BYSCORE', 'LIMIT', 0, 20)) do
    recover_one(k, limits, config, id, now)
  end
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
