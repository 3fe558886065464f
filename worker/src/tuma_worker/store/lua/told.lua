-- What was told of the dispatches of a recipient whose dates the provider keeps: `tally:<number>` -> `delivered failed last`,
-- where last is the state and the reason of the last failure, `state reason`. Needs move.lua.
--
-- Receipts do not say which dispatch they are about, so nobody ends before the ends of all that are owed have been told.

local function told_of(key, number)
  local delivered, failed, state, reason = string.match(redis.call('HGET', key, 'tally:' .. number) or '', '^(%d+) (%d+) ?(%S*) ?(%S*)')
  return tonumber(delivered or 0), tonumber(failed or 0), state or '', reason or ''
end

-- The move to the end that follows from what was told, or nil where more is owed. allowed: from which states each may be reached.
local function told_end(key, id, number, of, batch, allowed)
  local delivered, failed, state, reason = told_of(key, number)
  if delivered + failed == 0 or delivered + failed < of then
    return nil
  end
  local item = {key = key, id = id, number = number, evidence = 'operator', reason = reason, batch = batch, target = state}
  if failed == 0 then
    item.target, item.evidence, item.reason = 'delivered', 'handset', ''
  elseif delivered > 0 then
    item.target, item.reason = 'failed', 'delivered-' .. delivered .. '-of-' .. delivered + failed
  end
  item.allowed, item.dead = allowed[item.target] or '', item.target == 'unknown'
  return item
end
