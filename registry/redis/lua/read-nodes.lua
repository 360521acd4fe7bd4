#!lua flags=allow-oom
-- The live nodes, after forgetting those that fell silent.
-- KEYS    as in membership.lua
-- ARGV    channel, most nodes to return, most bytes of a record
-- Result  {'ok', id, record, stamp of its copies, id, ...};
--         {'too_many', count}; {'too_large', id, bytes}
-- Invariant: no node past its moment of expiry, and no value beyond its limit, is returned.
-- include membership.lua
local now = now_ms()
sweep(now)
local count = redis.call('ZCARD', KEYS[1])
if count > tonumber(ARGV[2]) then return { 'too_many', tostring(count) } end
local live = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
local result = { 'ok' }
for _, id in ipairs(live) do
  for at = 3, 5, 2 do
    local bytes = redis.call('HSTRLEN', KEYS[at], id)
    if bytes > tonumber(ARGV[3]) then return { 'too_large', id, tostring(bytes) } end
  end
  local record = redis.call('HGET', KEYS[3], id)
  local stamp = redis.call('HGET', KEYS[5], id)
  if record and stamp then
    result[#result + 1] = id
    result[#result + 1] = record
    result[#result + 1] = stamp
  else
    forget(id)
  end
end
return result
