#!lua
-- Replaces what a node says of its models' load. Nobody is told: readers look now and then.
-- KEYS    as in membership.lua, then loads: hash, node id to its loads, JSON
-- ARGV    channel, node id, incarnation, loads
-- Result  'ok'; 'unknown' when it expired, was never there or is another incarnation
-- Invariant: loads of nodes that are gone are never more than those of the live ones and SPARE.
-- include membership.lua
local SPARE = 64
local id = ARGV[2]
sweep(now_ms())
if not is_known(id, ARGV[3]) then return 'unknown' end
redis.call('HSET', KEYS[6], id, ARGV[4])
if redis.call('HLEN', KEYS[6]) > 2 * redis.call('ZCARD', KEYS[1]) + SPARE then
  for _, other in ipairs(redis.call('HKEYS', KEYS[6])) do
    if redis.call('HEXISTS', KEYS[2], other) == 0 then redis.call('HDEL', KEYS[6], other) end
  end
end
return 'ok'
