#!lua flags=allow-oom
-- Keeps a node alive for another TTL from now. Runs also when memory is short: it adds none, and
-- a full server must not make every node look dead.
-- KEYS    as in membership.lua
-- ARGV    channel, node id, incarnation, TTL in ms
-- Result  'ok'; 'unknown' when it expired, was never there or is another incarnation
-- Invariant: only a node that is whole and of this incarnation gets a new moment of expiry.
-- include membership.lua
local id = ARGV[2]
local now = now_ms()
sweep(now)
if not is_known(id, ARGV[3]) then return 'unknown' end
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[4], id)
return 'ok'
