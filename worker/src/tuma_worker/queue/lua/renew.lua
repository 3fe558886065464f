-- Keep the leases of the batches that a living worker holds.
--
-- KEYS  1 inflight  2 leases        ARGV  1 lease in ms  2... batch ids
-- Returns the ids whose lease is lost: their batches belong to somebody else now, and a call for them must not start.
-- include: clock

local now, lost = clock(), {}
for i = 2, #ARGV do
  local packed = redis.call('HGET', KEYS[1], ARGV[i])
  if packed and string.sub(packed, 1, 6) ~= 'ended ' then
    redis.call('ZADD', KEYS[2], 'XX', 'GT', now + tonumber(ARGV[1]), ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
