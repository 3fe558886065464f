-- Whether a send is new: its account is known, its id was not seen before, and its idempotency key, if any, stands for no other.
--
-- one: {profile, record, suppressed: or nil, key: of idempotency or nil, id, digest: of what the key stands for}

-- Whether the account is there, and neither the record nor anybody on the suppression list: as it nearly always is, which is
-- seen with one question. A key that is named three times counts three times.
local function admit_plain(one)
  return redis.call('EXISTS', one.profile, one.profile, one.profile, one.record, one.suppressed) == 3
end

-- The answer where it is not new; nil where it is. Then `one.unlisted` says that nobody at all is on the suppression list.
local function admit_known(one)
  one.unlisted = one.suppressed and admit_plain(one)
  if not one.unlisted then
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
