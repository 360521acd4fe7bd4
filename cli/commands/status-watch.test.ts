import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { ClusterStatus } from '../../proto/gen/torus/v1/cluster_service.ts';
import { statusLines } from './status.ts';
import { ratesBetween, ringShares, successes } from './status-watch.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const COPY = { modelId: 'digits', version: 1n, state: 'COPY_STATE_READY' } as const;
const NODE = { state: 'NODE_STATE_SERVING', address: '127.0.0.1:8011' } as const;
const STATUS = ClusterStatus.fromPartial({
  leaderId: 'c-1',
  leaderEpoch: 3n,
  nodes: [
    { ...NODE, id: 'a', zone: 'east', copies: [COPY], memoryLimitBytes: 2n ** 30n },
    { ...NODE, id: 'b', zone: 'west' },
  ],
  models: [{ modelId: 'digits', version: 1n, wantedCopies: 1, readyCopies: 1, weight: 1 }],
});
const stats = (count: number) => ({
  model_stats: [{ name: 'digits', version: '1', inference_stats: { success: { count } } }],
});

test('the ring is shared out nearly evenly, and all of it', (t) => {
  const shares = ringShares(['a', 'b', 'c', 'd']);
  const all = [...shares.values()];
  t.true(Math.abs(all.reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
  for (const share of all) t.true(share > 0.15 && share < 0.35);
  t.is(ringShares([]).size, 0);
});

test('calls a second are what came between two looks; what is new has none yet', (t) => {
  const before = successes(stats(100));
  t.deepEqual([...ratesBetween(before, successes(stats(350)), 500)], [['digits/1', 500]]);
  t.deepEqual([...ratesBetween(before, successes(stats(40)), 500)], [['digits/1', 0]]);
  t.is(ratesBetween(new Map(), before, 500).size, 0);
  t.is(successes(undefined).size, 0);
  t.is(successes({ model_stats: [{ name: 'x' }, {}] }).size, 0);
});

test('zones, limits, shares and rates are shown when there are any', (t) => {
  const load = { ringShares: new Map([['a', 0.6]]), callsPerSecond: new Map([['digits/1', 1234]]) };
  const text = statusLines(STATUS, load).join('\n');
  t.regex(text, /^a +SERVING +east +127\.0\.0\.1:8011 +60% +1 +1 +0 B of 1\.0 GiB$/m);
  t.regex(text, /^digits +1 +100% +1,234 +1\/1 +a$/m);
});

test('each look is a line for programs; one that fails does not end it', async (t) => {
  let looks = 0;
  const server = createServer((request, response) => {
    const isStats = request.url === '/v2/models/stats';
    if (!isStats) looks += 1;
    response.writeHead(looks === 2 ? 503 : 200, { 'content-type': 'application/json' });
    const body = isStats ? stats(100 * looks) : ClusterStatus.toJSON(STATUS);
    response.end(JSON.stringify(looks === 2 ? { error: 'away', code: 'UNAVAILABLE' } : body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const args = [MAIN, 'status', '--watch', '--json', '--server', address];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => void child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      if (stdout.split('\n').length > 2) resolve();
    });
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGINT');
  t.is(await ended, 0);
  const [first, second] = stdout.split('\n').map((line) => (line === '' ? {} : JSON.parse(line)));
  t.deepEqual(first.callsPerSecond, {});
  t.is(first.leaderId, 'c-1');
  t.true(second.callsPerSecond['digits/1'] > 0);
  t.regex(stderr, /away/);
});
