-- Whether a send is new: its account is known, its id was not seen before, and its idempotency key, if any, stands for no other.
--
-- one: {profile, record, suppressed and budgets: or nil, key: of idempotency or nil, id, digest: of what the key stands for}

-- Whether the account is there, and neither the record nor anybody on the suppression list nor a budget: as it nearly always is, which
-- is seen with one question. A key that is named four times counts four times.
local function admit_is_plain(one)
  local profile = one.profile
  return redis.call('EXISTS', profile, profile, profile, profile, one.record, one.suppressed, one.budgets) == 4
end

-- The answer where it is not new; nil where it is. Then `one.plain` says that nobody at all is on the suppression list, and that there
-- is no budget.
local function admit_known(one)
  one.plain = one.suppressed and admit_is_plain(one)
  if not one.plain then
    if redis.call('EXISTS', one.profile) == 0 then
      return {'unknown-account', one.id}
    end
    if redis.call('EXISTS', one.record) == 1 then
      return {'accepted', one.id}
    end
  end
  local first = one.key and redis.call('GET', one.key)
  if first then
    local first_id, digest = string.match(first, '^(%S+) (%S+)$')
    return {digest == one.digest and 'duplicate' or 'conflict', first_id}
  end
end

-- From now on its key stands for it, for so long.
local function admit_keep(one, life)
  if one.key then
    redis.call('SET', one.key, one.id .. ' ' .. one.digest, 'PX', life)
  end
end
