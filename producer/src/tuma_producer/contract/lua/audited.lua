-- One entry of an account's audit: who did what to what, and how it stood before and after. It holds no number and no text.
--
-- key: the account's stream of them
local AUDIT_KEPT = 10000  -- entries, about

local function audited(key, by, action, kind, name, before, after)
  redis.call('XADD', key, 'MAXLEN', '~', AUDIT_KEPT, '*', 'by', by, 'action', action, 'kind', kind, 'name', name,
    'before', before, 'after', after)
end
