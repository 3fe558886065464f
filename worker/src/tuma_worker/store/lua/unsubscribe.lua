-- Take a subscription to an account's events off, with its place in the stream and what is known of its troubles.
--
-- KEYS  1 subscriptions  2 events  3 troubles  4 audit
-- ARGV  1 its id  2 its group  3 who
-- Returns 1 where it was there, else 0.
--
-- Atomic: no group is left that nobody reads for. Repeatable.
-- include: audited

if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('XGROUP', 'DESTROY', KEYS[2], ARGV[2])
end
redis.call('DEL', KEYS[3])
audited(KEYS[4], ARGV[3], 'removed', 'subscription', ARGV[1], 'there', '')
return 1
