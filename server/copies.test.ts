import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { Copies } from './copies.ts';
import { createLoadModel } from './engines/load-model.ts';
import { Quarantine } from './engines/marker.ts';
import { ModelTable } from './model-table.ts';
import { StatisticsBook } from './statistics.ts';
import type { Wanted } from './versions.ts';

const folder = mkdtempSync(join(tmpdir(), 'torus-copies-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const POISON = { model: 'poison', version: 1, manifestSha256: 'a'.repeat(64) };
const wanted = (deaths?: number): Wanted => ({
  ...{ ...POISON, weight: 1, isKeptOnly: false, ...(deaths !== undefined && { deaths }) },
});

/** Copies of a process whose predecessor ended in a load of POISON; their files never come. */
async function afterDeath(name: string) {
  const markers = join(folder, name);
  const { model, version, manifestSha256 } = POISON;
  await (await Quarantine.open(markers)).arm(model, version, manifestSha256);
  const clock = new VirtualClock();
  const fetched: string[] = [];
  let changes = 0;
  const copies = new Copies({
    table: new ModelTable(),
    fetch: (copy) => {
      fetched.push(copy.model);
      return new Promise(() => undefined);
    },
    load: {
      loadModel: createLoadModel(),
      book: new StatisticsBook(() => 0),
      clock,
      quarantine: await Quarantine.open(markers),
    },
    lingerMs: 0,
    sideThreads: undefined,
    clock,
    log: createLog({ level: 'silent' }),
    onChange: () => {
      changes += 1;
    },
    onHung: () => undefined,
  });
  return { copies, fetched, changes: () => changes };
}

test('what the process ended of waits until the leader has counted that', async (t) => {
  const { copies, fetched } = await afterDeath('counted');
  t.is(copies.records()[0]?.deaths, 1, 'told without being wanted');
  copies.want([wanted(0), { ...wanted(0), model: 'other' }]);
  t.deepEqual(fetched, ['other']);
  const [other, poison] = copies.records();
  t.deepEqual([other?.deaths, poison?.deaths, poison?.state], [undefined, 1, 'FAILED']);
  t.regex(poison?.reason ?? '', /ended 1 times/);
  copies.want([{ ...wanted(1) }, { ...wanted(0), model: 'other' }]);
  t.deepEqual(fetched, ['other', 'poison']);
  t.deepEqual(
    copies.records().map(({ model, deaths }) => [model, deaths]),
    [
      ['other', undefined],
      ['poison', 1],
    ],
  );
});

test('another content is not to blame; where nobody counts, it is tried', async (t) => {
  const one = await afterDeath('content');
  one.copies.want([{ ...wanted(0), manifestSha256: 'b'.repeat(64) }]);
  t.deepEqual(one.fetched, ['poison']);
  const lone = await afterDeath('lone');
  lone.copies.want([wanted()]);
  t.deepEqual(lone.fetched, ['poison']);
});

test('what the cluster has given up is remembered there, and here no more', async (t) => {
  const { copies, changes } = await afterDeath('given-up');
  copies.want([], () => [POISON]);
  while (changes() === 0) await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(copies.records(), [], 'and the registry hears of it');
});
