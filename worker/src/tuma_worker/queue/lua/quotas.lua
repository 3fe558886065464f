-- What the provider says is left of a limit. Needs permits.lua.

-- The provider counts less left than we do: somebody else uses the key. What they used counts here from now on like calls of the
-- lowest lane, so that floors stay whole. It never counts the other way: every call of ours counts here for at least as long as there.
-- What is said is as old as its way back: a call of ours that ended there meanwhile is taken for somebody's. That errs on the safe side.
-- left: {limit name: what is left of it}
local function quotas_heed(used_key, limits, left, now)
  for _, limit in ipairs(limits) do
    if left[limit.name] then
      permits_used(used_key, {limit}, now)
      local strange = math.min(limit.count, limit.count - limit.used[1] - limit.used[2] - limit.used[3] - left[limit.name])
      if strange > 0 then
        permits_count(used_key, {limit}, 2, {calls = strange, messages = strange}, {})
        permits_end(limit, 2, {calls = strange, messages = strange}, now)
      end
    end
  end
end
