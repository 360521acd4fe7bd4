import test from 'ava';
import { ASSIGNMENT_SHARDS } from './registry.ts';
import { shardOf } from './shards.ts';

test('the shard of a model never changes: known names stay where they are', (t) => {
  // FNV-1a of '' is 811c9dc5, of 'a' e40c292c, of 'foobar' bf9cf968 (the hash's published vectors).
  t.is(shardOf(''), 0x81 ^ 0x1c ^ 0x9d ^ 0xc5);
  t.is(shardOf('a'), 0xe4 ^ 0x0c ^ 0x29 ^ 0x2c);
  t.is(shardOf('foobar'), 0xbf ^ 0x9c ^ 0xf9 ^ 0x68);
});

test('models spread over all shards', (t) => {
  const counts = new Array<number>(ASSIGNMENT_SHARDS).fill(0);
  const models = ASSIGNMENT_SHARDS * 40;
  for (let i = 0; i < models; i += 1) {
    const shard = shardOf(`model-${i}`);
    counts[shard] = (counts[shard] ?? 0) + 1;
  }
  t.true(Math.min(...counts) > 10);
  t.true(Math.max(...counts) < 100);
});
