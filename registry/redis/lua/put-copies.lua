#!lua
-- Replaces what a node says of its copies.
-- KEYS    as in membership.lua
-- ARGV    channel, node id, incarnation, copies, stamp
-- Result  'ok'; 'unknown' when it expired, was never there or is another incarnation
-- Invariant: copies are always those of the incarnation that is in the record.
-- include membership.lua
local id = ARGV[2]
sweep(now_ms())
if not is_known(id, ARGV[3]) then return 'unknown' end
redis.call('HSET', KEYS[4], id, ARGV[4])
redis.call('HSET', KEYS[5], id, ARGV[5])
hint('copies ' .. id)
return 'ok'
