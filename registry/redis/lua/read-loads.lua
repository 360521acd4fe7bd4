#!lua flags=allow-oom,no-writes
-- What some nodes say of their models' load, as many of them as the budget allows, at least one.
-- KEYS    as in membership.lua, then loads: hash, node id to its loads, JSON
-- ARGV    channel, most bytes of one node's loads, budget in bytes, node ids
-- Result  {'ok', id, loads, ...} in the order asked for, '' for a node that is gone or has said
--         nothing; those that are missing at the end were beyond the budget
--         {'too_large', id, bytes}
local spent = 0
local result = { 'ok' }
for at = 4, #ARGV do
  local id = ARGV[at]
  local bytes = redis.call('HSTRLEN', KEYS[6], id)
  if bytes > tonumber(ARGV[2]) then return { 'too_large', id, tostring(bytes) } end
  spent = spent + bytes
  if at > 4 and spent > tonumber(ARGV[3]) then return result end
  local is_there = redis.call('HEXISTS', KEYS[2], id) == 1
  result[#result + 1] = id
  result[#result + 1] = is_there and redis.call('HGET', KEYS[6], id) or ''
end
return result
