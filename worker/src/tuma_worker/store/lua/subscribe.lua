-- Keep a subscription to an account's events, and a group of consumers for it.
--
-- KEYS  1 subscriptions  2 events  3 audit
-- ARGV  1 its id  2 what is known of it, as JSON  3 its group  4 the entry after which it begins, or $  5 who  6 how the audit shows it
-- Returns 1; 0 where another one has this id: then nothing is changed.
--
-- Atomic: no subscription is there without its place in the stream. Repeatable: a repeat finds it, and leaves the place where it is.
-- include: audited

if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 then
  redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[3], ARGV[4], 'MKSTREAM')
  audited(KEYS[3], ARGV[5], 'added', 'subscription', ARGV[1], '', ARGV[6])
  return 1
end
return redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] and 1 or 0
