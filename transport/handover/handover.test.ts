// Calls between two threads. Here both ends are on one, with a real port between them.
import { MessageChannel, Worker } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { Code, codeName, type StatusError } from '../../common/status.ts';
import type { Backend, Metadata } from '../backend.ts';
import { Callee, ECHO, HANG } from '../callee.contract.ts';
import { type Connector, conformance } from '../conformance.contract.ts';
import { invokeUnary } from '../invoke.ts';
import { type CalledThread, serveThread } from './called-thread.ts';
import { type CallingThread, callThread, MAX_HANDED_CALLS } from './calling-thread.ts';
import { sharedOffsetMs } from './shared-time.ts';

const overPort: Connector = async (callee) => {
  const { port1, port2 } = new MessageChannel();
  const called = serveThread(port2, new Map([['callee', callee]]));
  const calling = callThread(port1);
  return {
    backend: calling.backend('callee', callee.methods),
    stop: async () => {
      calling.close();
      called.close();
    },
  };
};

conformance(test, 'handed over to another thread', overPort);

interface Scene {
  readonly caller: Backend;
  readonly calling: CallingThread;
  readonly called: CalledThread;
  readonly callee: Callee;
}

function scene(t: ExecutionContext, maxUnreadAnswerBytes?: number): Scene {
  const callee = new Callee();
  const { port1, port2 } = new MessageChannel();
  const backends = new Map([['callee', callee]]);
  const called = serveThread(port2, backends, maxUnreadAnswerBytes);
  const calling = callThread(port1);
  t.teardown(() => {
    calling.close();
    called.close();
  });
  return { calling, called, callee, caller: calling.backend('callee', callee.methods) };
}

const bytesOf = (text: string): Uint8Array => Buffer.from(text);

test('metadata of more kinds than are kept arrives with its own call', async (t) => {
  const { caller } = scene(t);
  const kinds = Array.from({ length: 700 }, (_, at): Metadata => [['x-at', String(at)]]);
  for (let round = 0; round < 2; round += 1) {
    const answers = await Promise.all(
      kinds.map((metadata) => invokeUnary(caller, ECHO, bytesOf(''), { metadata })),
    );
    t.deepEqual(
      answers.map(({ trailers }) => trailers),
      kinds,
    );
  }
});

test('a call that is cancelled in the turn of its coming never leaves', async (t) => {
  const { caller, callee, calling } = scene(t);
  const controller = new AbortController();
  const { signal } = controller;
  const gone = t.throwsAsync(invokeUnary(caller, HANG, bytesOf('secret'), { signal }));
  controller.abort();
  await gone;
  t.is(calling.inFlight, 0);
  await invokeUnary(caller, ECHO, bytesOf('after it'));
  const heard = await Promise.race([callee.hanging.happened, Promise.resolve('nothing')]);
  t.is(heard, 'nothing');
});

test('calls beyond the bound are UNAVAILABLE, and there is room again', async (t) => {
  const { caller, calling } = scene(t);
  const controller = new AbortController();
  const { signal } = controller;
  const held = Array.from({ length: MAX_HANDED_CALLS }, () =>
    invokeUnary(caller, HANG, bytesOf(''), { signal }).catch(() => undefined),
  );
  t.is(calling.inFlight, MAX_HANDED_CALLS);
  const error = await t.throwsAsync(invokeUnary(caller, ECHO, bytesOf('')));
  t.is((error as StatusError).code, Code.UNAVAILABLE);
  controller.abort();
  await Promise.all(held);
  t.is((await invokeUnary(caller, ECHO, bytesOf('x'))).response.length, 1);
  t.is(calling.handedOver, MAX_HANDED_CALLS + 1);
});

test('answers that nobody has read are bounded, and what was read makes room', async (t) => {
  const { caller } = scene(t, 8 * 1024 * 1024);
  // All of them are answered in the turn in which they come, before any answer is read.
  const request = new Uint8Array(2 * 1024 * 1024 + 1);
  const told = await Promise.allSettled(
    Array.from({ length: 4 }, () => invokeUnary(caller, ECHO, request)),
  );
  t.deepEqual(
    told.map((one) => (one.status === 'fulfilled' ? 'OK' : codeName(one.reason.code))),
    ['OK', 'OK', 'OK', 'RESOURCE_EXHAUSTED'],
  );
  t.is((await invokeUnary(caller, ECHO, request)).response.length, request.length);
});

test('the end of a thread ends calls on both sides', async (t) => {
  const { caller, called, callee, calling } = scene(t);
  const waiting = t.throwsAsync(invokeUnary(caller, HANG, bytesOf('')));
  const call = await callee.hanging.happened;
  called.close();
  t.true(call.isCancelled);
  t.regex(String((await waiting)?.message), /the thread has ended/);
  await t.throwsAsync(invokeUnary(caller, ECHO, bytesOf('')), { message: /the thread has ended/ });
  t.is(calling.inFlight, 0);
});

test('a deadline is the same moment on a thread that began later', async (t) => {
  const program = `
    import { parentPort } from 'node:worker_threads';
    import { sharedOffsetMs } from ${JSON.stringify(new URL('./shared-time.ts', import.meta.url))};
    parentPort.postMessage(performance.now() + sharedOffsetMs());`;
  const offsetMs = sharedOffsetMs();
  const before = performance.now() + offsetMs;
  const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
  const worker = new Worker(url);
  const there = await new Promise<number>((resolve) => worker.once('message', resolve));
  const after = performance.now() + offsetMs;
  // Reading two clocks one after the other takes a moment.
  t.true(there > before - 1 && there < after + 1, `${before} ${there} ${after}`);
  await worker.terminate();
});
