#!lua
-- Makes or replaces a node with its copies; alive for a TTL from now.
-- KEYS    as in membership.lua
-- ARGV    channel, node id, incarnation, record, copies, stamp, TTL in ms, most nodes allowed
-- Result  'ok'; 'full' when there are as many nodes as are allowed
-- Invariant: record, copies and incarnation of a node change together.
-- include membership.lua
local id = ARGV[2]
local now = now_ms()
sweep(now)
if not redis.call('ZSCORE', KEYS[1], id)
  and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[8]) then
  return 'full'
end
redis.call('ZADD', KEYS[1], now + ARGV[7], id)
redis.call('HSET', KEYS[2], id, ARGV[3])
redis.call('HSET', KEYS[3], id, ARGV[4])
redis.call('HSET', KEYS[4], id, ARGV[5])
redis.call('HSET', KEYS[5], id, ARGV[6])
hint('nodes')
hint('copies ' .. id)
return 'ok'
