import { Readable } from 'node:stream';
import test from 'ava';
import { Code } from '../common/status.ts';
import { BodyBudget, BodyShare, readBody } from './body.ts';

const read = (chunks: readonly string[], share: BodyShare, maxBytes = 100) => {
  const payload = Readable.from(chunks.map((text) => Buffer.from(text)));
  return readBody(payload, { headers: {}, maxBytes, share });
};

test('all requests together hold no more than the budget, and give it back', async (t) => {
  const budget = new BodyBudget(10);
  const first = new BodyShare(budget);
  t.is((await read(['12345', '678'], first)).toString(), '12345678');
  t.is(budget.heldBytes, 8);
  const second = new BodyShare(budget);
  const error = await t.throwsAsync(read(['ab', 'c'], second));
  t.like(error, { code: Code.UNAVAILABLE });
  t.is(budget.heldBytes, 10);
  second.release();
  first.release();
  first.release();
  t.is(budget.heldBytes, 0);
  t.is((await read(['0123456789'], second)).length, 10);
});

test('a body is as large as its limit, not larger', async (t) => {
  const share = new BodyShare(new BodyBudget(1000));
  t.is((await read(['x'.repeat(100)], share)).length, 100);
  t.like(await t.throwsAsync(read(['x'.repeat(101)], share)), { code: Code.RESOURCE_EXHAUSTED });
  const payload = Readable.from([]);
  const told = readBody(payload, { headers: { 'content-length': '101' }, maxBytes: 100, share });
  t.like(await t.throwsAsync(told), { code: Code.RESOURCE_EXHAUSTED });
});

test('a body whose stream breaks is told', async (t) => {
  const share = new BodyShare(new BodyBudget(1000));
  const payload = new Readable({ read: () => undefined });
  const reading = readBody(payload, { headers: {}, maxBytes: 100, share });
  payload.destroy(new Error('aborted'));
  await t.throwsAsync(reading, { message: /broke off: aborted/ });
});
