#!lua
-- Writes a shard of the assignment, unless what is there is as new or newer.
-- KEYS[1] revisions: hash: shard index to 'epoch revision'
-- KEYS[2] bodies: hash: shard index to the shard, JSON
-- ARGV    channel, index, epoch, revision, body, a hint of what it changes or ''
-- Result  'ok'; 'refused'; 'corrupt'
-- Invariant: (epoch, revision) of a shard only grows, and the body is always the one it names.
local held = redis.call('HGET', KEYS[1], ARGV[2])
if held and redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then
  local epoch, revision = string.match(held, '^(%d+) (%d+)$')
  -- Sixteen digits hold every number that JavaScript and Lua both keep exactly.
  if not epoch or #epoch > 16 or #revision > 16 then return 'corrupt' end
  local by_epoch = tonumber(ARGV[3]) - tonumber(epoch)
  if by_epoch < 0 then return 'refused' end
  if by_epoch == 0 and tonumber(ARGV[4]) <= tonumber(revision) then return 'refused' end
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3] .. ' ' .. ARGV[4])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[5])
-- It belongs to the hint after it, which is all that older releases know.
if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[1], ARGV[6]) end
redis.call('PUBLISH', ARGV[1], 'assignment ' .. ARGV[2])
return 'ok'
