-- Gives content that is whole its name.
-- KEYS[1] incoming: hash of the content's chunks by number, which would expire
-- KEYS[2] blob: the same under the content's SHA-256, for good
-- KEYS[3] index: sorted set of the hashes of all blobs, all of score 0
-- ARGV    SHA-256, size in bytes, number of chunks, size of a chunk in bytes
-- Result  'ok'; 'lost' when not every chunk is there
-- Invariant: a blob has all its chunks and is in the index, or there is nothing of it.
if redis.call('HLEN', KEYS[1]) ~= tonumber(ARGV[3]) then return 'lost' end
local now = redis.call('TIME')
local written = string.format('%d%03d', now[1], math.floor(now[2] / 1000))
redis.call('HSET', KEYS[1], 'size', ARGV[2], 'chunk', ARGV[4], 'written', written)
redis.call('PERSIST', KEYS[1])
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('ZADD', KEYS[3], 0, ARGV[1])
return 'ok'
