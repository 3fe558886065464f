-- An intent's body, as fields of its record: body, body1, body2, ... in order.
--
-- A hash stays in its compact form, at half the memory, only while no value in it is longer than 64 bytes; so a body of a usual
-- length is cut into pieces of that length. Pieces are bytes: a character may be cut in two.
local BODY_PIECE, BODY_PIECES = 64, 16

local function body_name(piece)
  return piece == 0 and 'body' or 'body' .. piece
end

-- {name, value, name, value, ...}
local function body_fields(body)
  if #body > BODY_PIECE * BODY_PIECES then
    return {'body', body}
  end
  local fields = {}
  for piece = 0, math.floor((#body - 1) / BODY_PIECE) do
    fields[#fields + 1] = body_name(piece)
    fields[#fields + 1] = string.sub(body, piece * BODY_PIECE + 1, (piece + 1) * BODY_PIECE)
  end
  return fields
end

-- The trace that a body says it is part of, as two more values of an event; nothing where it says none. Whoever writes one writes it
-- last, and always as long.
local BODY_TRACE = '"traceparent":"'
local function body_traced(body)
  if string.sub(body, -72, -58) == BODY_TRACE then
    return 'tp', string.sub(body, -57, -3)
  end
end

local function body_names()
  local names = {}
  for piece = 0, BODY_PIECES - 1 do
    names[piece + 1] = body_name(piece)
  end
  return names
end

local function body_read(key)
  local pieces = redis.call('HMGET', key, unpack(body_names()))
  local found = {}
  for i, piece in ipairs(pieces) do
    found[i] = piece or ''
  end
  return table.concat(found)
end

-- Another body in the place of the one before, which may have had more pieces.
local function body_replace(key, body)
  redis.call('HDEL', key, unpack(body_names()))
  redis.call('HSET', key, unpack(body_fields(body)))
end
