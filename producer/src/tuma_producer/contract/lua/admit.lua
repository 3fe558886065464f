-- Whether a send is new: its account is known, its id was not seen before, and its idempotency key, if any, stands for no other.
--
-- one: {profile, record, key: of idempotency or nil, id, digest: of what the key stands for}

-- The answer where it is not new; nil where it is.
local function admit_known(one)
  if redis.call('EXISTS', one.profile) == 0 then
    return {'unknown-account'}
  end
  if redis.call('EXISTS', one.record) == 1 then
    return {'accepted', one.id}
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
