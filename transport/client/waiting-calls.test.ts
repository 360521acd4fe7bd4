// Calls that wait for a connection: their order and their bounds.
import test from 'ava';
import { Code, type StatusError } from '../../common/status.ts';
import { type Carrier, Outgoing } from './outgoing.ts';
import { MAX_WAITING_BYTES, MAX_WAITING_CALLS, WaitingCalls } from './waiting-calls.ts';

const CARRIER: Carrier = {
  address: 'node:1',
  maxMessageBytes: 1,
  nowMs: () => 0,
  forget: () => {},
};

class Call extends Outgoing {
  constructor(sizeBytes: number) {
    super(CARRIER, Number.POSITIVE_INFINITY, sizeBytes);
  }
  start(): boolean {
    return true;
  }
  refuse(_error: StatusError): void {}
  expire(): void {}
  onHead(): void {}
  onData(): void {}
  onTrailers(): void {}
  onWritable(): void {}
  onLost(): void {}
}

test('calls go in the order in which they came, those that left excepted', (t) => {
  const waiting = new WaitingCalls();
  const [a, b, c] = [new Call(1), new Call(1), new Call(1)];
  for (const call of [a, b, c]) t.is(waiting.enter(call), undefined);
  t.true(waiting.leave(b));
  t.false(waiting.leave(b));
  t.is(waiting.takeFirst(), a);
  t.is(waiting.takeFirst(), c);
  t.is(waiting.takeFirst(), undefined);
  t.is(waiting.size, 0);
});

test('one call or byte too many is refused, saying which limit; room comes back', (t) => {
  const waiting = new WaitingCalls(2, 100);
  const [a, b] = [new Call(60), new Call(40)];
  t.is(waiting.enter(a), undefined);
  const large = waiting.enter(new Call(41));
  t.is(large?.code, Code.RESOURCE_EXHAUSTED);
  t.regex(large?.message ?? '', /100 bytes of requests would wait .* to node:1/);
  t.is(waiting.enter(b), undefined);
  const third = waiting.enter(new Call(0));
  t.is(third?.code, Code.RESOURCE_EXHAUSTED);
  t.regex(third?.message ?? '', /2 calls would wait/);
  waiting.leave(a);
  t.is(waiting.enter(new Call(60)), undefined);
  t.true(MAX_WAITING_CALLS > 0 && MAX_WAITING_BYTES > 0);
});
