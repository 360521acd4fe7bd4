-- What the scripts of membership share: the server's time, and forgetting nodes that fell silent.
-- KEYS[1] expiry       sorted set: node id by the moment it expires, milliseconds since 1970
-- KEYS[2] incarnations hash: node id to incarnation
-- KEYS[3] records      hash: node id to its record, JSON
-- KEYS[4] copies       hash: node id to what it says of its copies, JSON
-- KEYS[5] stamps       hash: node id to a digest of its copies
-- ARGV[1] channel of hints
-- Invariant: a node that is in one of the five is in all of them, or is forgotten by the next
-- script that meets it; one whose moment has passed is never shown.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function forget(id)
  redis.call('ZREM', KEYS[1], id)
  for at = 2, 5 do redis.call('HDEL', KEYS[at], id) end
end

local function hint(text)
  redis.call('PUBLISH', ARGV[1], text)
end

-- At most so many at a time: a script must not hold up the server.
local SWEPT = 1000

local function sweep(now)
  local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, SWEPT)
  for _, id in ipairs(gone) do forget(id) end
  if #gone > 0 then hint('nodes') end
end

local function is_known(id, incarnation)
  return redis.call('HGET', KEYS[2], id) == incarnation
    and redis.call('ZSCORE', KEYS[1], id)
    and redis.call('HEXISTS', KEYS[3], id) == 1
    and redis.call('HEXISTS', KEYS[4], id) == 1
end

-- For readers: ARGV[2] most nodes, ARGV[3] most bytes of a value in KEYS[at]. The ids of the live
-- nodes, or nil and what the reader is to answer.
local function live_nodes(at)
  local now = now_ms()
  sweep(now)
  local count = redis.call('ZCARD', KEYS[1])
  if count > tonumber(ARGV[2]) then return nil, { 'too_many', tostring(count) } end
  local live = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
  for _, id in ipairs(live) do
    local bytes = redis.call('HSTRLEN', KEYS[at], id)
    if bytes > tonumber(ARGV[3]) then return nil, { 'too_large', id, tostring(bytes) } end
  end
  return live
end
