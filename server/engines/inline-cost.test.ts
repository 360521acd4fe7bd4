import test from 'ava';
import {
  InlineCost,
  type InlineFacts,
  leavesAboveUs,
  MAX_INLINE_LOAD_MS,
  MAX_INLINE_RUN_US,
  MAX_ONE_CORE_RUN_US,
  obstacleToInline,
} from './inline-cost.ts';

const FAST: InlineFacts = {
  execution: 'auto',
  cores: 2,
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 16] }],
  maxBatchSize: 64,
  instanceCount: 1,
  intraOpThreads: 1,
  hasFixedCost: true,
  fileBytes: 3_000,
  loadMs: 5,
  fullRunNs: 20_000,
};

test('a model that is cheap, and known to stay so, runs inline', (t) => {
  t.is(obstacleToInline(FAST), undefined);
  t.is(obstacleToInline({ ...FAST, fullRunNs: MAX_INLINE_RUN_US * 1e3 }), undefined);
  const slow = { fullRunNs: MAX_INLINE_RUN_US * 1e3 + 1, loadMs: MAX_INLINE_LOAD_MS + 1 };
  const cases: readonly [Partial<InlineFacts>, RegExp][] = [
    [slow, /takes 301 us, above 300/],
    [{ loadMs: slow.loadMs }, /loading takes 1001 ms, above 1000/],
    [{ fileBytes: 2 ** 25 }, /33554432 bytes, above 16777216/],
    [{ fullRunNs: undefined }, /could not be run/],
    [{ hasFixedCost: false }, /operators/],
    [{ instanceCount: 2 }, /2 instances/],
    [{ intraOpThreads: 4 }, /4 threads/],
    [{ inputs: [{ name: 's', datatype: 'BYTES', shape: [-1, 1] }] }, /'s' is text/],
    [{ inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, -1] }] }, /'x' has open dimensions/],
    [{ maxBatchSize: 0 }, /'x' has open dimensions/],
    [{ execution: 'worker' }, /configured/],
  ];
  for (const [facts, reason] of cases) {
    t.regex(obstacleToInline({ ...FAST, ...facts }) ?? '', reason);
    if (facts.execution === undefined) {
      t.is(obstacleToInline({ ...FAST, ...facts, execution: 'inline' }), undefined);
    }
  }
});

test('where there is one core, a longer run is taken: a worker would compute no sooner', (t) => {
  const oneCore = { ...FAST, cores: 1, fullRunNs: MAX_ONE_CORE_RUN_US * 1e3 };
  t.is(obstacleToInline(oneCore), undefined);
  t.regex(obstacleToInline({ ...oneCore, cores: 2 }) ?? '', /takes 3000 us, above 300/);
  const longer = { ...oneCore, fullRunNs: oneCore.fullRunNs + 1 };
  t.regex(obstacleToInline(longer) ?? '', /takes 3001 us, above 3000/);
  t.regex(obstacleToInline({ ...oneCore, hasFixedCost: false }) ?? '', /operators/);
  t.true(leavesAboveUs(1) > MAX_ONE_CORE_RUN_US && leavesAboveUs(1) > leavesAboveUs(2));
});

test('some long runs are interruptions, mostly slow ones are a slow model', (t) => {
  const limitUs = leavesAboveUs(2);
  const limitNs = limitUs * 1e3;
  const cost = new InlineCost(limitUs);
  for (let run = 0; run < 10_000; run += 1) {
    t.false(cost.ran(run % 10 === 0 ? 1e8 : limitNs), 'a tenth of a second, every tenth run');
  }
  let runs = 1;
  while (!cost.ran(1e8)) runs += 1;
  t.true(runs <= 8, 'all of them: known after eight');
  cost.reset();
  runs = 1;
  while (!cost.ran(limitNs * 1.5)) runs += 1;
  t.is(runs, 32);
});
