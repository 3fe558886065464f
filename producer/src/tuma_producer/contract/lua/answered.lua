-- The first answer to a request, for as long as it may be repeated because its reply was lost. A repeat is told it and changes
-- nothing, so what others have asked for in between stands.
--
-- key: a string of the request's own, named by its token
local ANSWER_KEPT = 60000  -- ms: longer than three repeats take that wait five seconds each for a connection and for a reply

local function answered(key)
  local packed = redis.call('GET', key)
  return packed and cmsgpack.unpack(packed)
end

local function answer(key, reply)
  redis.call('SET', key, cmsgpack.pack(reply), 'PX', ANSWER_KEPT)
  return reply
end
