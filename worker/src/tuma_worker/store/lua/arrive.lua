-- Write receipts down as they came, in their order.
--
-- KEYS  1 inbox
-- ARGV  the attempt whose address it came to or '', body, for each receipt
--
-- Returns nothing.
--
-- Repeatable: what is in the inbox twice moves nobody twice. Recipients only move forward (apply.lua), dates are counted by their events
-- (tally.lua), and what a person wrote is known when it comes again (receive.lua).

for i = 1, #ARGV, 2 do
  redis.call('XADD', KEYS[1], '*', 'b', ARGV[i], 'd', ARGV[i + 1])
end
