-- Write receipts down as they came, in their order.
--
-- KEYS  1 inbox
-- ARGV  the attempt whose address it came to or '', body, for each receipt
--
-- Repeatable: what is in the inbox twice is applied once (file.lua).

for i = 1, #ARGV, 2 do
  redis.call('XADD', KEYS[1], '*', 'b', ARGV[i], 'd', ARGV[i + 1])
end
