-- What an account's lists say of many numbers at once.

local ON_LIST = 'suppression-list'  -- the reason of those that end for being on that list

-- For each of list[from], list[from + step], ...: its score in this sorted set, or false where it is not in it. Nothing for any
-- where the set is empty.
local function listed_scores(key, list, from, step)
  local found = {}
  if redis.call('EXISTS', key) == 0 then
    return found
  end
  local numbers = {}
  for i = from, #list, step do
    numbers[#numbers + 1] = list[i]
  end
  for first = 1, #numbers, 1000 do
    for _, score in ipairs(redis.call('ZMSCORE', key, unpack(numbers, first, math.min(first + 999, #numbers)))) do
      found[#found + 1] = score
    end
  end
  return found
end
