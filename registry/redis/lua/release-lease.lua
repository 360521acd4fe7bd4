#!lua flags=allow-oom
-- Gives a lease back; its fence stays.
-- KEYS    as in acquire-lease.lua
-- ARGV    channel, lease name, owner, epoch
-- Result  'ok'; 'lost' when it expired or is another's or another epoch's: nothing happens
-- Invariant: nobody gives back what is another's.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[3] or held[2] ~= ARGV[4] then return 'lost' end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[1], 'lease ' .. ARGV[2])
return 'ok'
