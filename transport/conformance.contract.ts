// What every way of carrying calls must do, whatever is on the wire: run over each shell, and over
// no shell at all. A connector takes the callee's Backend and gives the caller's.
import '../test/support/poison-reads.ts';
import type { ExecutionContext, TestFn } from 'ava';
import { Code, StatusError } from '../common/status.ts';
import {
  type Backend,
  ConnectionLost,
  type Metadata,
  type MethodKind,
  NO_METADATA,
  type StreamCall,
  type UnaryCall,
} from './backend.ts';
import {
  Callee,
  CHAT,
  CHUNK_BYTES,
  COUNT,
  ECHO,
  FAIL,
  HANG,
  SINK,
  Signal,
  SUM,
  THROW,
} from './callee.contract.ts';
import { invokeStream, invokeUnary } from './invoke.ts';

export interface Carried {
  readonly backend: Backend;
  stop(): Promise<void>;
}

export type Connector = (callee: Backend, maxMessageBytes: number) => Promise<Carried>;

const MAX_BYTES = 8 * 1024 * 1024;
const CHUNKS = 512;

/** A caller that takes nothing until it is told to, and sees when it is asked to hold. */
class SlowCaller implements StreamCall {
  readonly path: string;
  readonly metadata = NO_METADATA;
  readonly deadlineMs = Number.POSITIVE_INFINITY;
  readonly peer = 'local';
  isCancelled = false;
  onCancel: (() => void) | undefined;
  onMessage: ((message: Uint8Array) => void) | undefined;
  onHalfClose: (() => void) | undefined;
  onDrain: (() => void) | undefined;
  readonly ended = new Signal<StatusError | undefined>();
  received = 0;
  isHeld = false;
  isPaused = false;

  constructor(path: string) {
    this.path = path;
  }

  send(): boolean {
    this.received++;
    return !this.isHeld;
  }
  end(): void {
    this.ended.fire(undefined);
  }
  fail(error: StatusError): void {
    this.ended.fire(error);
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function collect(answers: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const answer of answers) all.push(Uint8Array.from(answer));
  return all;
}

interface Scene {
  readonly callee: Callee;
  readonly caller: Backend;
}

type AddScene = (title: string, run: (t: ExecutionContext, scene: Scene) => Promise<void>) => void;

/** Adds the whole suite for one way of carrying calls. */
export function conformance(test: TestFn, name: string, connect: Connector): void {
  const add: AddScene = (title, run) =>
    test(`${name}: ${title}`, async (t) => {
      const callee = new Callee();
      const carried = await connect(callee, MAX_BYTES);
      try {
        await run(t, { callee, caller: carried.backend });
      } finally {
        await carried.stop();
      }
    });
  unaryScenes(add);
  failureScenes(add);
  endingScenes(add);
  streamScenes(add);
  flowScenes(add);
}

async function failure(promise: Promise<unknown>): Promise<StatusError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof StatusError) return thrown;
    throw thrown;
  }
  throw new Error('the call succeeded');
}

function unaryScenes(add: AddScene): void {
  add('a unary call carries its bytes there and back', async (t, { caller }) => {
    for (const sizeBytes of [0, 1, 100_000, MAX_BYTES]) {
      const request = new Uint8Array(sizeBytes).fill(7);
      const { response } = await invokeUnary(caller, ECHO, request);
      t.is(Buffer.compare(response, request), 0, `${sizeBytes} bytes`);
    }
  });

  add(
    'what the callee puts into its headers comes back, ahead of its answers',
    async (t, scene) => {
      const head: Metadata = [
        ['x-head', 'one'],
        ['x-head-bin', Buffer.from([0, 255, 13])],
      ];
      const heard: Metadata[] = [];
      const onMetadata = (metadata: Metadata): void => void heard.push(metadata);
      const sent = { metadata: [...head, ['x-other', 'a']] as Metadata, onMetadata };
      const answer = await invokeUnary(scene.caller, ECHO, bytesOf('a'), sent);
      t.deepEqual(answer.metadata.filter(isForHead).map(textOf), head.map(textOf));
      t.is(answer.metadata.filter(([key]) => key === 'x-other').length, 0);
      const answers = invokeStream(scene.caller, CHAT, [bytesOf('a')], sent);
      t.false((await answers.next()).done);
      t.is(heard.length, 2);
      t.deepEqual(heard[1]?.filter(isForHead).map(textOf), head.map(textOf));
      await answers.return?.();
      t.deepEqual((await invokeUnary(scene.caller, ECHO, bytesOf('a'))).metadata, []);
    },
  );
  add('metadata goes there, trailers come back, bytes under -bin', async (t, { caller }) => {
    const metadata: Metadata = [
      ['x-text', 'plain, with comma'],
      ['x-data-bin', Uint8Array.of(0, 255, 10, 44)],
      ['y-other', 'not sent back'],
    ];
    const { trailers } = await invokeUnary(caller, ECHO, bytesOf(''), { metadata });
    const found = trailers.map(([key, value]) => [
      key,
      typeof value === 'string' ? value : [...value],
    ]);
    t.deepEqual(
      new Map(found as [string, unknown][]),
      new Map<string, unknown>([
        ['x-text', 'plain, with comma'],
        ['x-data-bin', [0, 255, 10, 44]],
      ]),
    );
  });

  add('many calls at once keep their answers apart', async (t, { caller }) => {
    const texts = Array.from({ length: 200 }, (_, at) => `call ${at}`);
    const answers = await Promise.all(
      texts.map(async (text) => (await invokeUnary(caller, ECHO, bytesOf(text))).response),
    );
    t.deepEqual(
      answers.map((answer) => new TextDecoder().decode(answer)),
      texts,
    );
  });
}

function failureScenes(add: AddScene): void {
  const texts = [
    'plain',
    '',
    '100% of "it"; a/b?c=d&e#f +g',
    'Grüße, 世界 🎉',
    'two\nlines\tand tab',
  ];
  add('a status keeps its code and any text', async (t, { caller }) => {
    for (const text of texts) {
      const error = await failure(invokeUnary(caller, FAIL, bytesOf(text)));
      t.is(error.code, Code.ABORTED);
      t.is(error.message, text);
      t.false(error instanceof ConnectionLost);
    }
  });

  add('a handler that throws is INTERNAL, and the callee stays up', async (t, { caller }) => {
    const error = await failure(invokeUnary(caller, THROW, bytesOf('')));
    t.is(error.code, Code.INTERNAL);
    t.is((await invokeUnary(caller, ECHO, bytesOf('x'))).response.byteLength, 1);
  });

  add('an unknown method is UNIMPLEMENTED', async (t, { caller }) => {
    const path = '/conformance.Test/Nothing';
    const methods = new Map<string, MethodKind>([[path, 'unary']]);
    const blind: Backend = { ...caller, methods, unary: (call) => caller.unary(call) };
    t.is((await failure(invokeUnary(blind, path, bytesOf('')))).code, Code.UNIMPLEMENTED);
  });
}

function endingScenes(add: AddScene): void {
  add('a deadline ends the call on both sides', async (t, { callee, caller }) => {
    const before = performance.now();
    let call: UnaryCall | undefined;
    // On a busy machine a short deadline may pass before the callee hears of the call.
    for (let timeoutMs = 100; call === undefined; timeoutMs *= 2) {
      const answer = invokeUnary(caller, HANG, bytesOf(''), { timeoutMs });
      const ended = failure(answer).then((error) => void t.is(error.code, Code.DEADLINE_EXCEEDED));
      call = (await Promise.race([callee.hanging.happened, ended])) ?? undefined;
      // It counts from its coming to the callee, whenever a busy machine lets that be: it has come
      // by now, so twice the timeout from here on is never too early.
      const latestMs = performance.now() + 2 * timeoutMs;
      await ended;
      t.true(call === undefined || call.deadlineMs > before);
      t.true(call === undefined || call.deadlineMs < latestMs);
    }
    await callee.cancelled.happened;
    t.true(call.isCancelled);
  });

  add('a cancel by the caller reaches the callee', async (t, { callee, caller }) => {
    const controller = new AbortController();
    const error = failure(invokeUnary(caller, HANG, bytesOf(''), { signal: controller.signal }));
    const call = await callee.hanging.happened;
    t.false(call.isCancelled);
    controller.abort();
    t.is((await error).code, Code.CANCELLED);
    await callee.cancelled.happened;
    t.true(call.isCancelled);
  });

  add('an answer after the first one is ignored', async (t, { callee, caller }) => {
    const answer = invokeUnary(caller, HANG, bytesOf(''));
    const call = await callee.hanging.happened;
    call.succeed(bytesOf('first'));
    call.fail(new StatusError(Code.INTERNAL, 'second'));
    call.succeed(bytesOf('third'));
    t.is(new TextDecoder().decode((await answer).response), 'first');
  });

  add('leaving a stream early cancels it', async (t, { callee, caller }) => {
    const answers = invokeStream(caller, COUNT, [bytesOf('100000')]);
    for await (const answer of answers) {
      t.is(answer.byteLength, CHUNK_BYTES);
      break;
    }
    await callee.cancelled.happened;
  });
}

function streamScenes(add: AddScene): void {
  add('a server stream gives all its messages in order', async (t, { caller }) => {
    const answers = await collect(invokeStream(caller, COUNT, [bytesOf('40')]));
    t.deepEqual(
      answers.map((answer) => answer[0]),
      Array.from({ length: 40 }, (_, at) => at + 1),
    );
  });

  add('a client stream takes all its messages', async (t, { caller }) => {
    const requests = Array.from({ length: 40 }, () => new Uint8Array(CHUNK_BYTES));
    const [answer] = await collect(invokeStream(caller, SUM, requests));
    t.is(new TextDecoder().decode(answer), String(40 * CHUNK_BYTES));
    const [none] = await collect(invokeStream(caller, SUM, []));
    t.is(new TextDecoder().decode(none), '0');
  });

  add('both sides of a stream talk in turn', async (t, { caller }) => {
    const heard = new Signal<void>();
    const requests = async function* () {
      yield bytesOf('one');
      await heard.happened;
      yield bytesOf('');
      yield bytesOf('three');
    };
    const texts: string[] = [];
    for await (const answer of invokeStream(caller, CHAT, requests())) {
      texts.push(new TextDecoder().decode(answer));
      heard.fire();
    }
    t.deepEqual(texts, ['one', '', 'three']);
  });
}

/** Enough for whatever is under way between two ends in one process to arrive. */
async function settle(): Promise<void> {
  for (let at = 0; at < 200; at++) await turn();
}

function flowScenes(add: AddScene): void {
  add('a slow caller holds the callee back, then gets everything', async (t, scene) => {
    const slow = new SlowCaller(COUNT);
    slow.isHeld = true;
    scene.caller.stream(slow);
    slow.onMessage?.(bytesOf(String(CHUNKS)));
    slow.onHalfClose?.();
    const sent = await scene.callee.blocked.happened;
    await settle();
    t.true(sent < CHUNKS, `held after ${sent} of ${CHUNKS}`);
    t.is(slow.received, 1, 'after the first one it said no');
    slow.isHeld = false;
    slow.onDrain?.();
    t.is(await slow.ended.happened, undefined);
    t.is(slow.received, CHUNKS);
  });

  add('a slow callee holds the caller back, then gets everything', async (t, scene) => {
    const slow = new SlowCaller(SINK);
    scene.caller.stream(slow);
    slow.onMessage?.(new Uint8Array(CHUNK_BYTES));
    const call = await scene.callee.sinking.happened;
    let sent = 1;
    while (sent < CHUNKS) {
      if (slow.isPaused) await settle();
      if (slow.isPaused) break;
      slow.onMessage?.(new Uint8Array(CHUNK_BYTES));
      sent++;
      await turn();
    }
    t.true(sent < CHUNKS, `the caller was told to hold after ${sent} of ${CHUNKS}`);
    t.true(scene.callee.sunk <= 2, `${scene.callee.sunk} came to a callee that had paused`);
    call.resume();
    slow.onHalfClose?.();
    t.is(await slow.ended.happened, undefined);
    t.is(scene.callee.sunk, sent);
  });
}

const isForHead = ([key]: Metadata[number]): boolean => key.startsWith('x-head');
const textOf = ([key, value]: Metadata[number]): string =>
  `${key}: ${typeof value === 'string' ? value : Buffer.from(value).toString('hex')}`;
