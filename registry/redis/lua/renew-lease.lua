#!lua flags=allow-oom
-- Keeps a lease for another TTL from now.
-- KEYS    as in acquire-lease.lua
-- ARGV    owner, epoch, TTL in ms, TTL of the fence in ms
-- Result  'ok'; 'lost' when it expired or is another's or another epoch's
-- Invariant: only who holds the lease, under the epoch it took it with, prolongs it.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 'lost' end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
return 'ok'
