#!lua flags=allow-oom
-- The live nodes with the digests of their copies, after forgetting those that fell silent.
-- KEYS    as in membership.lua
-- ARGV    channel, most nodes to return, most bytes of a stamp
-- Result  {'ok', id, stamp, ...}; {'too_many', count}; {'too_large', id, bytes}
-- Invariant: no node past its moment of expiry, and no value beyond its limit, is returned.
-- include membership.lua
local live, refusal = live_nodes(5)
if refusal then return refusal end
local result = { 'ok' }
for _, id in ipairs(live) do
  local stamp = redis.call('HGET', KEYS[5], id)
  if stamp then
    result[#result + 1] = id
    result[#result + 1] = stamp
  else
    forget(id)
  end
end
return result
