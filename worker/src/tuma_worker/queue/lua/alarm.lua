-- The alarm: until when nothing of a queue can move, as far as the last claim knew, and which consumer watches the time.

-- What it was set by may no longer hold: there is none, and somebody looks again.
local function alarm_void(state, bell)
  redis.call('HDEL', state, 'silent_until', 'silent_from', 'alarm_at', 'alarm_by')
  if redis.call('LLEN', bell) == 0 then
    redis.call('RPUSH', bell, 1)
  end
end
