#!lua flags=allow-oom,no-writes
-- What some nodes say of their copies, as many of them as the budget allows, at least one.
-- KEYS    as in membership.lua
-- ARGV    channel, most bytes of one node's copies, budget in bytes, node ids
-- Result  {'ok', id, copies, stamp, ...} in the order asked for, '' and '' for a node that is
--         gone; those that are missing at the end were beyond the budget
--         {'too_large', id, bytes}
-- Invariant: a stamp comes with the copies that it was made of.
local spent = 0
local result = { 'ok' }
for at = 4, #ARGV do
  local id = ARGV[at]
  local bytes = redis.call('HSTRLEN', KEYS[4], id)
  if bytes > tonumber(ARGV[2]) then return { 'too_large', id, tostring(bytes) } end
  spent = spent + bytes
  if at > 4 and spent > tonumber(ARGV[3]) then return result end
  result[#result + 1] = id
  result[#result + 1] = redis.call('HGET', KEYS[4], id) or ''
  result[#result + 1] = redis.call('HGET', KEYS[5], id) or ''
end
return result
