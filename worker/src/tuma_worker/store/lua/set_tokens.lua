-- Keep API tokens as they are to be, or forget them, and say who did it.
--
-- KEYS  1 tokens  2 audit of what belongs to no account
-- ARGV  1 who  2 what the audit calls it  3 the tokens' name  4 how the audit shows what was  5 and what is to be
--       6... the digest of a token and what is to be known of it, as JSON; empty to forget it
-- Returns nothing.
--
-- Atomic, so that no token holds of which nothing tells where it came from. Repeatable: a repeat finds all as it is to be, and is no
-- second entry.
-- include: audited

local changed = false
for i = 6, #ARGV, 2 do
  local stands = redis.call('HGET', KEYS[1], ARGV[i])
  if ARGV[i + 1] == '' and stands then
    redis.call('HDEL', KEYS[1], ARGV[i])
    changed = true
  elseif ARGV[i + 1] ~= '' and stands ~= ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    changed = true
  end
end
if changed then
  audited(KEYS[2], ARGV[1], ARGV[2], 'token', ARGV[3], ARGV[4], ARGV[5])
end
