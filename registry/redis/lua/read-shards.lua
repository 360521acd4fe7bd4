#!lua flags=allow-oom,no-writes
-- Shards of the assignment, as many of them as the budget allows, at least one.
-- KEYS    as in put-shard.lua
-- ARGV    most bytes of a shard, budget in bytes, indices
-- Result  {'ok', index, body, ...} in the order asked for, '' for one that was never written;
--         those that are missing at the end were beyond the budget
--         {'too_large', index, bytes}
-- Invariant: no value beyond its limit is returned.
local spent = 0
local result = { 'ok' }
for at = 3, #ARGV do
  local index = ARGV[at]
  local bytes = redis.call('HSTRLEN', KEYS[2], index)
  if bytes > tonumber(ARGV[1]) then return { 'too_large', index, tostring(bytes) } end
  spent = spent + bytes
  if at > 3 and spent > tonumber(ARGV[2]) then return result end
  result[#result + 1] = index
  result[#result + 1] = redis.call('HGET', KEYS[2], index) or ''
end
return result
