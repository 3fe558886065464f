-- A page of the intents of a campaign, in the order of their ids. Changes nothing.
--
-- KEYS  1 index of the campaign
-- ARGV  1 the last id of the page before, or empty  2 how many at most
-- Returns {short id, ...}, none where there are no more.
--
-- Repeatable: it only looks. An id that comes in behind the page is for the next reader.
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
return redis.call('ZRANGE', KEYS[1], from, '+', 'BYLEX', 'LIMIT', 0, tonumber(ARGV[2]))
