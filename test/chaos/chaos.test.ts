// What judges clusters is judged here: wrong answers are seen as wrong, failures and silence are
// counted, and a fault that breaks a promise fails. `npm run chaos` itself is a run of its own.
import test from 'ava';
import { ModelInferResponse } from '../../proto/gen/inference/grpc_service.ts';
import { FAULTS } from './all-faults.ts';
import { CallBook, type CallEnd } from './call-book.ts';
import { type CheckedModel, checkedRequest, wrongIn } from './checked-model.ts';
import type { ChaosClient } from './clients.ts';
import { type Fault, NotHere, none } from './fault.ts';
import { Load } from './load.ts';
import { Runner } from './stage.ts';
import { isFailed, isPassed, table } from './verdicts.ts';

const MODEL: CheckedModel = { name: 'm', mark: 100, copies: 1 };

function answer(call: number, change: Partial<ModelInferResponse> = {}, y = [0, 0]): Uint8Array {
  const floats = Float32Array.of(call + 100 + (y[0] ?? 0), call + 3 + (y[1] ?? 0));
  const rawOutputContents = [new Uint8Array(floats.buffer)];
  const whole = { modelName: 'm', modelVersion: '3', id: String(call), rawOutputContents };
  return ModelInferResponse.encode(
    ModelInferResponse.fromPartial({ ...whole, ...change }),
  ).finish();
}

test('an answer has to be of its model, of the version it names, and to its own call', (t) => {
  t.is(wrongIn(MODEL, 7, answer(7)), undefined);
  t.is(wrongIn(MODEL, 7, answer(7), 3), undefined);
  t.regex(wrongIn(MODEL, 7, answer(7), 2) ?? '', /version 3 answers for version 2/);
  t.regex(wrongIn(MODEL, 7, answer(7, { modelVersion: '4' })) ?? '', /version 4 says/);
  t.regex(wrongIn(MODEL, 7, answer(7, { modelName: 'n' })) ?? '', /model n answers for m/);
  t.regex(wrongIn(MODEL, 7, answer(8)) ?? '', /answer to call 8/);
  t.regex(wrongIn(MODEL, 7, answer(8, { id: '7' })) ?? '', /says 108,11, not 107,10/);
  t.regex(wrongIn(MODEL, 7, answer(7, { rawOutputContents: [] })) ?? '', /no bytes/);
});

function ended(dueMs: number, tookMs: number, more: Partial<CallEnd> = {}): CallEnd {
  const good = { deadlineMs: 100, code: 0, message: '', wrong: undefined, model: 0, client: 0 };
  return { ...good, dueMs, endMs: dueMs + tookMs, ...more };
}

test('a book of calls tells any stretch of them, and grows', (t) => {
  const book = new CallBook();
  for (let call = 0; call < 100_000; call += 1) book.add(ended(call, call % 100));
  book.add(ended(100_000, 7, { code: 14, message: 'gone', model: 1 }));
  book.add(ended(100_001, 9, { wrong: 'odd', client: 1 }));
  t.like(book.figures(), { calls: 100_002, failed: 1, wrong: 1, slowestFailureMs: 7 });
  t.like(book.figures({ toMs: 100 }), { calls: 100, failed: 0, p50Ms: 50, p99Ms: 99, maxMs: 99 });
  t.like(book.figures({ fromMs: 99_999 }), { calls: 3, failed: 1, wrong: 1 });
  t.like(book.figures({ model: (model) => model === 1 }), { calls: 1, failed: 1 });
  t.like(book.figures({ client: 1 }), { calls: 1, failed: 0, wrong: 1 });
  t.is(book.failureWords(0), '1 UNAVAILABLE (gone) at 100.0..100.0 s, 1 odd at 100.0..100.0 s');
  t.is(new CallBook().figures().p99Ms, 0);
});

test('a load counts answers, failures, wrong answers, and calls without any', async (t) => {
  const infer: ChaosClient['infer'] = (request, timeoutMs, done) => {
    t.is(timeoutMs, 50);
    const call = [0, 1, 2, 3].findIndex(
      (one) => Buffer.compare(request, checkedRequest(MODEL, one)) === 0,
    );
    if (call === 1) done({ code: 14, message: 'gone', answer: undefined });
    else if (call !== 3) done({ code: 0, message: '', answer: answer(call === 2 ? 9 : call) });
    if (call === 3) enough();
  };
  let enough = (): void => {};
  const reached = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const clients: readonly ChaosClient[] = [{ kind: 'torus', infer, close() {} }];
  const options = { clients, models: [MODEL], ratePerSecond: 1_000, random: () => 0.5 };
  const load = new Load({ ...options, deadlineMs: 50, patienceMs: 50 });
  await reached;
  await load.stop();
  const { calls, failed, wrong } = load.book.figures();
  t.true(calls >= 4);
  t.true(failed >= 2);
  t.true(wrong >= 1);
  t.regex(load.book.failureWords(0), /gone.*answer to call 9.*call 3 was never answered/);
});

test('what breaks a promise fails, and what can not be judged or promises nothing', async (t) => {
  const runner = new Runner(() => {});
  const judge = async (run: Fault['run']) =>
    await runner.run({ id: 'R0', title: 'planted', run }, 'short');
  const ends: string[] = [];
  const good = await judge(async (stage) => {
    stage.teardown(async () => ends.push('first'));
    stage.teardown(async () => ends.push('second'));
    return { deed: 'did', criteria: [none('errors: 0', 0, '10 calls')] };
  });
  t.true(isPassed(good));
  t.deepEqual(ends, ['second', 'first']);
  const bad = await judge(async () => ({
    deed: 'did',
    criteria: [none('errors: 0', 1, '10 calls', 'gone'), none('wrong: 0', 0, '10 calls')],
  }));
  t.false(isPassed(bad));
  const odd = await judge(() => Promise.reject(new Error('no cluster')));
  t.false(isPassed(odd));
  t.false(isPassed(await judge(async () => ({ deed: '', criteria: [] }))));
  const skipped = await judge(() => Promise.reject(new NotHere('no tmpfs')));
  t.false(isPassed(skipped));
  t.deepEqual([good, bad, odd, skipped].map(isFailed), [false, true, true, false]);
  const text = table([good, bad, odd, skipped]);
  t.regex(text, /R0 +skip .*\n +skip +no tmpfs/);
  t.regex(text, /R0 +pass/);
  t.regex(text, /FAIL +errors: 0 +1 of 10 calls: gone/);
  t.regex(text, /could not be judged: no cluster/);
  t.regex(text, /1 passed, 2 failed, 1 skipped/);
});

test('each fault has a number of its own', (t) => {
  t.is(new Set(FAULTS.map(({ id }) => id)).size, FAULTS.length);
  for (const { id, title } of FAULTS) t.regex(`${id} ${title}`, /^R\d+ .+/);
});
