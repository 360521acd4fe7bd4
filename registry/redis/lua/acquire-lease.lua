#!lua flags=allow-oom
-- Takes a lease that is free, or the owner's own again.
-- KEYS[1] held: hash of owner and epoch; it expires with the lease
-- KEYS[2] fence: the highest epoch that held it; it outlives the lease
-- ARGV    channel, lease name, owner, epoch, TTL in ms, TTL of the fence in ms
-- Result  'ok'; 'held' by another owner; 'older' than an epoch that held it; 'corrupt'
-- Invariant: one owner at a time, and the epochs of its owners never go back.
local holder = redis.call('HGET', KEYS[1], 'owner')
if holder and holder ~= ARGV[3] then return 'held' end
local seen = redis.call('GET', KEYS[2]) or '0'
-- Sixteen digits hold every number that JavaScript and Lua both keep exactly.
if #seen > 16 or not string.match(seen, '^%d+$') then return 'corrupt' end
if tonumber(ARGV[4]) < tonumber(seen) then return 'older' end
redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'epoch', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[6])
redis.call('PUBLISH', ARGV[1], 'lease ' .. ARGV[2])
return 'ok'
