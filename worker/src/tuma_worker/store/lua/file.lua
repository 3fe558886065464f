-- Keep receipts that have been applied as they came, and take them out of the inbox and of the parking place.
--
-- KEYS  1 inbox  2 parked  3... raw receipts of the attempts that they are about
-- ARGV  1 ms that they are kept from now (0: not at all)  2 the most of one attempt
--       3... entry in the inbox or '', member of the parking place or '', key index, digest, its stamp and body, for each receipt
-- Returns how many were news: nothing with the same digest was kept before.
--
-- Atomic: a receipt is in the inbox until it is kept. Repeatable: the second time it is no news.

local keep, most, news, touched = tonumber(ARGV[1]), tonumber(ARGV[2]), 0, {}
for i = 3, #ARGV, 5 do
  local entry, member, key = ARGV[i], ARGV[i + 1], KEYS[tonumber(ARGV[i + 2])]
  if keep > 0 and redis.call('HLEN', key) < most then
    news = news + redis.call('HSETNX', key, ARGV[i + 3], ARGV[i + 4])
    touched[key] = true
  end
  if entry ~= '' then
    redis.call('XDEL', KEYS[1], entry)
  end
  if member ~= '' then
    redis.call('ZREM', KEYS[2], member)
  end
end
for key in pairs(touched) do
  redis.call('PEXPIRE', key, keep)
end
return news
