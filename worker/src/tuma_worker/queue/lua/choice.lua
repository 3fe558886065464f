-- Whose turn it is: which lane is looked at first, and which source goes in a lane. Needs ready.lua, state.lua and pace.lua.
--
-- c: {k, config, limits, state, now}; and what is found out here: closed why and until when, others_turn, passed_over, favoured, sources

-- The source of the call that asks the provider whether a halted account may go on. It goes while the account is halted, and counts
-- against the limits like any other. No service can have this name.
local PROBE = '~probe'

local SOURCES_AT_ONCE = 100

-- Why no call may be made now, and until when that is known to last; nil where one may.
local function choice_closed(c)
  local state = c.state
  if state.half_open and not state.probing then
    state.probing = 'next'  -- nothing but a send can tell whether the fault is over: one goes, and its answer decides
  end
  if state.halt and not state.half_open then
    return 'halted'
  elseif state.paused then
    return 'paused'
  elseif state.blocked_until then
    local blocked_until = tonumber(state.blocked_until)
    if c.now < blocked_until then
      return 'blocked', blocked_until
    end
    -- The block is over: one call goes first, and the others follow when it has been answered.
    state_clear(c, 'blocked_until')
    state_set(c, 'probing', 'next')
  elseif state.probing and state.probing ~= 'next' then
    if redis.call('HEXISTS', c.k.inflight, state.probing) == 1 then
      return 'probing'
    end
    state.probing = 'next'  -- the probe's worker died
  end
end

local function choice_begin(c)
  c.sources = {}
  c.closed, c.closed_until = choice_closed(c)
  -- The system's jobs and the calls take turns where both could go: a thousand deadlines in one second must not hold up a password.
  c.others_turn = c.state.turn == 'others'
  -- How many times in a row a higher lane went while this one waited and could have gone: of transactional, of bulk.
  local transactional, bulk = string.match(c.state.passed_over or '0 0', '^(%d+) (%d+)$')
  c.passed_over = {tonumber(transactional), tonumber(bulk)}
  -- A lane that was passed over too often goes first for once, whatever the floors: with one job, where they leave no room for more.
  -- Never two such turns in a row: an OTP may be waiting by then.
  for lane = 1, 2 do
    local most = c.favoured and c.passed_over[c.favoured] + 1 or c.config.guard
    if c.config.guard > 0 and not c.state.favoured and c.passed_over[lane] >= most then
      c.favoured = lane
    end
  end
end

-- Strict order, but for the favoured one.
local function choice_order(c)
  return c.favoured == 2 and {2, 0, 1} or c.favoured == 1 and {1, 0, 2} or {0, 1, 2}
end

local function choice_first_sources(c, lane)
  c.sources[lane] = c.sources[lane] or redis.call('ZRANGE', c.k.sources[lane + 1], 0, SOURCES_AT_ONCE - 1)
  return c.sources[lane]
end

local function choice_has(c, lane, source)
  local first = choice_first_sources(c, lane)
  for _, one in ipairs(first) do
    if one == source then
      return true
    end
  end
  return #first == SOURCES_AT_ONCE and redis.call('ZSCORE', c.k.sources[lane + 1], source) ~= false
end

-- The waiting source that has used the least, passing over paused ones, and all of bulk while the account is `short` of money. The
-- system's own jobs make no calls: they go whatever is closed or paused, and first where it is not the others' turn.
local function choice_source(c, lane)
  local state = c.state
  if lane == 0 and not c.others_turn and choice_has(c, 0, SYSTEM) then
    return SYSTEM
  end
  if c.closed == 'halted' and lane == 0 and not state.paused and c.now >= state_number(c, 'blocked_until') and choice_has(c, 0, PROBE) then
    return PROBE
  end
  if c.closed or state['paused:lane:' .. lane] or lane == 2 and state.short then
    return nil
  end
  local from, sources = 0, choice_first_sources(c, lane)
  while true do
    for _, source in ipairs(sources) do
      if source ~= SYSTEM and not state['paused:source:' .. source] then
        return source
      end
    end
    if #sources < SOURCES_AT_ONCE then
      return nil
    end
    from = from + SOURCES_AT_ONCE
    sources = redis.call('ZRANGE', c.k.sources[lane + 1], from, from + SOURCES_AT_ONCE - 1)
  end
end

-- A source whose last group was taken from outside must not hold up the others.
local function choice_drop(c, lane, source)
  ready_leave(c.k, lane, source)
  c.sources[lane] = nil
end

-- A call of this lane goes before those of the lanes below it. One that is not due yet by its pace does not wait for the others.
local function choice_pass_over(c, lane)
  if c.config.guard == 0 then
    return
  end
  if lane == c.favoured then
    state_set(c, 'favoured', 1)
  else
    state_clear(c, 'favoured')
  end
  local passed_over = c.passed_over
  passed_over[lane] = 0
  for below = lane + 1, 2 do
    local could_go = choice_source(c, below) and pace_until(c, below) <= c.now
    passed_over[below] = could_go and passed_over[below] + 1 or 0
  end
  local text = passed_over[1] .. ' ' .. passed_over[2]
  if text == '0 0' then
    state_clear(c, 'passed_over')
  elseif text ~= c.state.passed_over then
    state_set(c, 'passed_over', text)
  end
end

-- Work without a permit has gone, or a call.
local function choice_went(c, lane, source)
  if source == SYSTEM then
    state_set(c, 'turn', 'others')
  else
    state_clear(c, 'turn')
    choice_pass_over(c, lane)
  end
end
