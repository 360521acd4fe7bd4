#!lua flags=allow-oom,no-writes
-- Who holds a lease.
-- KEYS    as in acquire-lease.lua
-- ARGV    most bytes of a field
-- Result  {'ok', owner, epoch}; {'ok'} when it is free; {'too_large', field, bytes}; {'corrupt'}
-- Invariant: no value beyond its limit is returned.
for _, field in ipairs({ 'owner', 'epoch' }) do
  local bytes = redis.call('HSTRLEN', KEYS[1], field)
  if bytes > tonumber(ARGV[1]) then return { 'too_large', field, tostring(bytes) } end
end
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if not held[1] and not held[2] then return { 'ok' } end
if not held[1] or not held[2] then return { 'corrupt' } end
return { 'ok', held[1], held[2] }
