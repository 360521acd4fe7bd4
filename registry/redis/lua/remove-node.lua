#!lua flags=allow-oom
-- A node leaves at once.
-- KEYS    as in membership.lua
-- ARGV    channel, node id, incarnation
-- Result  'ok'; 'unknown' when it is not there or is another incarnation: nothing happens
-- Invariant: a node that was started again is not removed by the one before it.
-- include membership.lua
local id = ARGV[2]
sweep(now_ms())
if redis.call('HGET', KEYS[2], id) ~= ARGV[3] then return 'unknown' end
forget(id)
hint('nodes')
return 'ok'
