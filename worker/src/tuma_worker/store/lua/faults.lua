-- What a call says about its account, and what that makes of the queue's state: halts, the breaker, blocks, and the one call that
-- goes first. Needs held.lua.
--
-- k: {state, due, bell}; c: as in move.lua
-- said: {halt: JSON or nil, probe: {job: member of the due set, after: ms} or nil, block: ms or nil, probe_ok, phase, code,
--   pulse: {strike: code or nil, after: strikes, opens: ms, most: ms} or nil}

local function faults_tell(c, event, what, ...)
  redis.call('XADD', c.events, 'MAXLEN', '~', c.maxlen, '*', 'e', event, 'w', what, ...)
end

-- `probing` and `half_open` say whether this call is the one that goes first after a block, or tries for a halted account.
local function faults_read(k, batch)
  local names = {'probing', 'half_open', 'halt', 'breaker', 'strikes', 'blocked_until'}
  local found, was = redis.call('HMGET', k.state, unpack(names)), {}
  for i, name in ipairs(names) do
    was[name] = found[i] or nil
  end
  was.probing = was.probing == batch
  was.half_open = was.probing and was.half_open ~= nil
  return was
end

-- Returns whether the account is halted by it. Calls that were in flight with the one that halted it have nothing to add, but the one
-- that tried decides anew; and a fault that only a person may lift counts whenever it is heard of, or a probe would lift it with the
-- other.
local function faults_halt(k, c, was, said)
  local graver = was.halt and not said.probe and not cjson.decode(was.halt).operator
  if was.halt and not was.half_open and not graver then
    return false
  end
  redis.call('HSET', k.state, 'halt', said.halt)
  redis.call('HSETNX', k.state, 'halted_at', c.now)
  redis.call('HDEL', k.state, 'half_open')
  if said.probe then
    redis.call('ZADD', k.due, c.now + said.probe.after, said.probe.job)
    held_wake(k)
  end
  if was.halt == said.halt then
    return false
  end
  faults_tell(c, 'halted', said.code)
  return true
end

local function faults_answer_in_time(k, c, was)
  if was.strikes then
    redis.call('HDEL', k.state, 'strikes')
  end
  if was.breaker and was.probing then
    redis.call('HDEL', k.state, 'breaker')
    faults_tell(c, 'breaker-closed', string.match(was.breaker, '^%S+ %S+ (.*)$'), 'by', 'probe')
  end
end

-- Returns for how long the breaker is open from now on, nil where this call does not open it, and whether it was closed before. While
-- it is open only the call that tries counts: the others began before.
local function faults_strike(k, c, was, pulse)
  local since, opens, why = c.now, pulse.opens, nil
  if was.breaker then
    if not was.probing then
      return nil
    end
    local before
    since, before, why = string.match(was.breaker, '^(%S+) (%S+) (.*)$')
    opens = math.min(2 * tonumber(before), pulse.most)
  else
    local strikes = tonumber(was.strikes or 0) + 1
    if strikes < pulse.after then
      redis.call('HSET', k.state, 'strikes', strikes)
      return nil
    end
    redis.call('HDEL', k.state, 'strikes')
    why = strikes .. ' x ' .. pulse.strike
    faults_tell(c, 'breaker-opened', why, 'by', 'strikes')
  end
  redis.call('HSET', k.state, 'breaker', string.format('%.0f %.0f %s', since, opens, why))
  return opens, not was.breaker
end

-- Nothing is called for so long, or for as long as was said before. After it one call goes first.
local function faults_block(k, c, was, block)
  local until_ms = math.max(c.now + block, tonumber(was.blocked_until or 0))
  redis.call('HSET', k.state, 'blocked_until', string.format('%.0f', until_ms))
  redis.call('HDEL', k.state, 'probing')
end

-- It was the one call that went first: the others follow, or another one goes first.
local function faults_probed(k, said)
  if said.probe_ok then
    redis.call('HDEL', k.state, 'probing')
  else
    redis.call('HSET', k.state, 'probing', 'next')
  end
  held_wake(k)
end

-- Returns what this very call has made of the account: 'halted', 'breaker-opened', both or nothing.
local function faults_heed(k, c, batch, said)
  local was, made = faults_read(k, batch), {}
  if said.halt and faults_halt(k, c, was, said) then
    made[#made + 1] = 'halted'
  end
  local block, opens, opened = said.block, nil, nil
  if said.pulse and said.pulse.strike then
    opens, opened = faults_strike(k, c, was, said.pulse)
  elseif said.pulse then
    faults_answer_in_time(k, c, was)
  end
  if opened then
    made[#made + 1] = 'breaker-opened'
  end
  if block or opens then
    faults_block(k, c, was, math.max(block or 0, opens or 0))
  elseif was.probing then
    faults_probed(k, said)
  end
  if was.half_open and said.phase == 'accepted' then
    redis.call('HDEL', k.state, 'halt', 'halted_at', 'half_open')
    faults_tell(c, 'resumed', 'halt', 'by', 'probe')
  end
  return made
end
