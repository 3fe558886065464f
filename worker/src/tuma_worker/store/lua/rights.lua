-- Which of these commands the present user may not run on Tuma's keys. Changes nothing.
--
-- KEYS  none: no key is touched, so that each server of a cluster can be asked
-- ARGV  1 the name of any key of Tuma's  2... commands, with a subcommand behind a bar
-- Returns {'checked', command, ...} with those that are refused; {'unable'} where the server is too old to tell: older than Redis 7
--
-- A script, because only scripts may ask: to ask in any other way is an administrator's right. Repeatable: it only looks.

if not redis.acl_check_cmd then
  return {'unable'}
end
local reply = {'checked'}
for i = 2, #ARGV do
  local command, words = ARGV[i], {}
  for word in string.gmatch(command, '[^|]+') do
    words[#words + 1] = word
  end
  words[#words + 1] = ARGV[1]
  if not redis.acl_check_cmd(unpack(words)) then
    reply[#reply + 1] = command
  end
end
return reply
