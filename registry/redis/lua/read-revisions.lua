#!lua flags=allow-oom,no-writes
-- The revisions of shards that were written.
-- KEYS    as in put-shard.lua
-- ARGV    most bytes of a revision, indices
-- Result  {'ok', index, 'epoch revision', ...}; {'too_large', index, bytes}
-- Invariant: a revision is told only when its body is there.
local result = { 'ok' }
for at = 2, #ARGV do
  local index = ARGV[at]
  local bytes = redis.call('HSTRLEN', KEYS[1], index)
  if bytes > tonumber(ARGV[1]) then return { 'too_large', index, tostring(bytes) } end
  if bytes > 0 and redis.call('HEXISTS', KEYS[2], index) == 1 then
    result[#result + 1] = index
    result[#result + 1] = redis.call('HGET', KEYS[1], index)
  end
end
return result
