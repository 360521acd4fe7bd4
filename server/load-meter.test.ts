import test from 'ava';
import fc from 'fast-check';
import { MAX_LOADS_OF_NODE } from '../registry/registry.ts';
import { LoadMeter, type VersionCounts } from './load-meter.ts';

const counts = (model: string, given: Partial<VersionCounts> = {}): VersionCounts => ({
  ...{ model, version: 1, arrived: 0, computed: 0, busyNs: 0, queued: 0 },
  ...given,
});

test('the load is what came between two looks, a batch counted once', (t) => {
  const meter = new LoadMeter();
  t.deepEqual(meter.take([counts('m', { arrived: 900, computed: 900 })], 1_000), []);
  const now = counts('m', { arrived: 1_900, computed: 1_700, busyNs: 1.6e9, queued: 7 });
  t.deepEqual(meter.take([now], 6_000), [
    { model: 'm', version: 1, callsPerSecond: 200, serviceMs: 2, queued: 7 },
  ]);
  t.deepEqual(meter.take([{ ...now, queued: 0 }], 11_000), []);
});

test('calls that only wait are told, with the time that calls took before', (t) => {
  const meter = new LoadMeter();
  const before = counts('m', { arrived: 10, computed: 10, busyNs: 50e6 });
  meter.take([before], 0);
  t.deepEqual(meter.take([{ ...before, arrived: 20, queued: 10 }], 1_000), [
    { model: 'm', version: 1, callsPerSecond: 10, serviceMs: 5, queued: 10 },
  ]);
});

test('the busiest are told, within bounds, whatever is counted', (t) => {
  const any = fc.array(
    fc.record({
      model: fc.constantFrom('a', 'b', 'c'),
      version: fc.integer({ min: 1, max: 400 }),
      arrived: fc.nat(1e9),
      computed: fc.nat(1e9),
      busyNs: fc.nat(1e9),
      queued: fc.nat(1_000),
    }),
    { maxLength: 600, size: 'max' },
  );
  const check = fc.property(any, any, fc.integer({ min: -5, max: 10_000 }), (first, second, ms) => {
    const meter = new LoadMeter();
    meter.take(first, 0);
    const loads = meter.take(second, ms);
    t.true(loads.length <= MAX_LOADS_OF_NODE);
    for (const { callsPerSecond, serviceMs, queued } of loads) {
      t.true(Number.isFinite(callsPerSecond) && callsPerSecond >= 0);
      t.true(Number.isFinite(serviceMs) && serviceMs >= 0 && Number.isInteger(queued));
    }
  });
  fc.assert(check, { numRuns: 50 });
  const meter = new LoadMeter();
  const many = Array.from({ length: MAX_LOADS_OF_NODE + 20 }, (_, at) => counts(`m${at}`));
  meter.take(many, 0);
  const busy = many.map((one, at) => ({ ...one, arrived: at, computed: at, busyNs: at * 1e6 }));
  const told = meter.take(busy, 1_000).map(({ model }) => model);
  t.is(told.length, MAX_LOADS_OF_NODE);
  t.true(told.includes(`m${MAX_LOADS_OF_NODE + 19}`));
  t.false(told.includes('m1'));
});
