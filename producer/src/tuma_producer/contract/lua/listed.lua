-- What an account's lists say of many numbers at once.

local ON_LIST = 'suppression-list'  -- the reason of those that end for being on that list

-- The key with which a list's forgotten numbers are hidden, or nil where it has none. It stands before everybody, with a score of 0.
local function listed_key(list)
  return string.match(redis.call('ZRANGE', list, 0, 0)[1] or '', '^key:(%x+)$')
end

-- What stands there for a number that was forgotten: whoever has the number finds it. `contract.suppression.hidden` makes the same.
local function listed_hidden(key, number)
  return '#' .. redis.sha1hex(key .. redis.sha1hex(key .. number))
end

local function listed_members(list, members)
  local found = {}
  for first = 1, #members, 1000 do
    for _, score in ipairs(redis.call('ZMSCORE', list, unpack(members, first, math.min(first + 999, #members)))) do
      found[#found + 1] = score
    end
  end
  return found
end

-- For each of numbers[from], numbers[from + step], ...: its score in this sorted set, or false where it is not in it. Nothing for any
-- where the set is empty.
local function listed_scores(list, numbers, from, step)
  if redis.call('EXISTS', list) == 0 then
    return {}
  end
  local members, key = {}, listed_key(list)
  for i = from, #numbers, step do
    members[#members + 1] = numbers[i]
  end
  local found = listed_members(list, members)
  if key then
    for i, number in ipairs(members) do
      members[i] = listed_hidden(key, number)
    end
    for i, score in ipairs(listed_members(list, members)) do
      found[i] = found[i] or score
    end
  end
  return found
end

-- How many numbers are on a list.
local function listed_size(list)
  return redis.call('ZCOUNT', list, '(0', '+inf')
end
