#!lua flags=allow-oom
-- The live nodes, after forgetting those that fell silent.
-- KEYS    as in membership.lua
-- ARGV    channel, most nodes to return, most bytes of a record
-- Result  {'ok', id, record, ...}; {'too_many', count}; {'too_large', id, bytes}
-- Invariant: no node past its moment of expiry, and no value beyond its limit, is returned.
-- include membership.lua
local live, refusal = live_nodes(3)
if refusal then return refusal end
local result = { 'ok' }
for _, id in ipairs(live) do
  local record = redis.call('HGET', KEYS[3], id)
  if record then
    result[#result + 1] = id
    result[#result + 1] = record
  else
    forget(id)
  end
end
return result
