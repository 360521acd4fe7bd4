// ModelStreamInfer over a ModelInfer that answers when the test says so.
import test from 'ava';
import { Code, invalidArgument, type StatusError } from '../../common/status.ts';
import {
  ModelInferRequest,
  ModelInferResponse,
  ModelStreamInferResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import { NO_METADATA, type StreamCall, type UnaryCall } from '../../transport/backend.ts';
import { MAX_STREAM_BYTES, MAX_STREAM_REQUESTS, ModelStreamInfer } from './stream-infer.ts';

const PATH = '/inference.GRPCInferenceService/ModelStreamInfer';
const NOW_MS = 1_000;

const request = (id: string, sizeBytes = 0): Uint8Array =>
  ModelInferRequest.encode(
    ModelInferRequest.fromPartial({
      modelName: 'm',
      id,
      ...(sizeBytes > 0 && { rawInputContents: [new Uint8Array(sizeBytes)] }),
    }),
  ).finish();

const response = (id: string): Uint8Array =>
  ModelInferResponse.encode(ModelInferResponse.fromPartial({ modelName: 'm', id })).finish();

/** One stream as its node sees it. */
class Stream implements StreamCall {
  readonly path = PATH;
  readonly peer = 'test';
  readonly deadlineMs: number;
  readonly metadata: StreamCall['metadata'];
  isCancelled = false;
  onCancel: (() => void) | undefined;
  onMessage: ((message: Uint8Array) => void) | undefined;
  onHalfClose: (() => void) | undefined;
  onDrain: (() => void) | undefined;
  isPaused = false;
  hasRoom = true;
  end_: 'open' | 'ok' | StatusError = 'open';
  readonly sent: ModelStreamInferResponse[] = [];

  constructor(more: Partial<Pick<StreamCall, 'deadlineMs' | 'metadata'>> = {}) {
    this.deadlineMs = more.deadlineMs ?? Number.POSITIVE_INFINITY;
    this.metadata = more.metadata ?? NO_METADATA;
  }

  send(message: Uint8Array): boolean {
    this.sent.push(ModelStreamInferResponse.decode(message));
    return this.hasRoom;
  }
  end(): void {
    this.end_ = 'ok';
  }
  fail(error: StatusError): void {
    this.end_ = error;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  ids(): readonly string[] {
    return this.sent.map(({ inferResponse }) => inferResponse?.id ?? '');
  }
  code(): Code | undefined {
    return typeof this.end_ === 'string' ? undefined : this.end_.code;
  }
}

function begin(stream = new Stream()) {
  const calls: UnaryCall[] = [];
  const streams = new ModelStreamInfer({ unary: (call) => void calls.push(call) }, () => NOW_MS);
  streams.stream(stream);
  const say = (id: string, sizeBytes?: number): void => stream.onMessage?.(request(id, sizeBytes));
  return { stream, streams, calls, say };
}

test('answers go out as they are ready, each with its id and as the last of its request', (t) => {
  const { stream, calls, say, streams } = begin();
  for (const id of ['a', 'b', 'c']) say(id);
  t.is(calls.length, 3);
  calls[2]?.succeed(response('c'));
  calls[0]?.succeed(response('a'));
  stream.onHalfClose?.();
  t.is(stream.end_, 'open', 'one request is left');
  calls[1]?.succeed(response('b'));
  t.is(stream.end_, 'ok');
  t.deepEqual(stream.ids(), ['c', 'a', 'b']);
  t.deepEqual(
    stream.sent.map(({ inferResponse }) => inferResponse?.parameters.get('triton_final_response')),
    Array(3).fill({ parameterChoice: { $case: 'boolParam', boolParam: true } }),
  );
  t.is(streams.openStreams, 0);
});

test("a request's error is told with its id, and the stream stays open", (t) => {
  const { stream, calls, say } = begin();
  say('bad');
  calls[0]?.fail(invalidArgument('wrong shape'));
  t.is(stream.end_, 'open');
  t.is(stream.sent[0]?.errorMessage, 'wrong shape');
  t.deepEqual(stream.ids(), ['bad']);
  stream.onMessage?.(Uint8Array.of(0x1a, 0x01, 0x78, 0xff));
  calls[1]?.fail(invalidArgument('no protobuf'));
  t.deepEqual(stream.ids(), ['bad', 'x'], 'what stands before the malformed place counts');
  say('good');
  calls[2]?.succeed(response('good'));
  t.deepEqual(
    stream.sent.map(({ errorMessage }) => errorMessage),
    ['wrong shape', 'no protobuf', ''],
  );
});

test('with triton_grpc_error an error is the status, and what else was asked is cancelled', (t) => {
  const { stream, streams, calls, say } = begin(
    new Stream({ metadata: [['triton_grpc_error', 'true']] }),
  );
  for (const id of ['a', 'b']) say(id);
  let cancelled = 0;
  for (const call of calls) call.onCancel = () => (cancelled += 1);
  calls[0]?.fail(invalidArgument('wrong shape'));
  t.is(stream.code(), Code.INVALID_ARGUMENT);
  t.is(cancelled, 1, 'only the one that was still there');
  calls[1]?.succeed(response('b'));
  t.deepEqual(stream.sent, []);
  t.is(streams.openStreams, 0);
});

test('a full stream is read no further until a request is answered', (t) => {
  const { stream, calls, say } = begin();
  for (let at = 0; at < MAX_STREAM_REQUESTS - 1; at += 1) say(String(at));
  t.false(stream.isPaused);
  say('last');
  t.true(stream.isPaused);
  say('on its way already');
  t.is(calls.length, MAX_STREAM_REQUESTS + 1);
  calls[0]?.succeed(response('0'));
  t.true(stream.isPaused);
  calls[1]?.succeed(response('1'));
  t.false(stream.isPaused);
});

test('a few large requests fill it too', (t) => {
  const { stream, calls, say } = begin();
  say('large', MAX_STREAM_BYTES);
  t.true(stream.isPaused);
  calls[0]?.succeed(response('large'));
  t.false(stream.isPaused);
});

test('a caller that does not take its answers is read no further', (t) => {
  const { stream, calls, say } = begin();
  for (const id of ['a', 'b']) say(id);
  stream.hasRoom = false;
  calls[0]?.succeed(response('a'));
  t.true(stream.isPaused);
  calls[1]?.succeed(response('b'));
  stream.hasRoom = true;
  stream.onDrain?.();
  t.false(stream.isPaused);
  t.deepEqual(stream.ids(), ['a', 'b']);
});

test('a caller that goes takes its requests along', (t) => {
  const { stream, streams, calls, say } = begin();
  for (const id of ['a', 'b']) say(id);
  const cancelled: UnaryCall[] = [];
  for (const call of calls) call.onCancel = () => cancelled.push(call);
  stream.onCancel?.();
  t.deepEqual(cancelled, calls);
  t.true(calls.every(({ isCancelled }) => isCancelled));
  t.is(streams.openStreams, 0);
  calls[0]?.succeed(response('a'));
  t.deepEqual(stream.sent, []);
});

test("each request has the stream's deadline, or that of a call without one", (t) => {
  const own = begin(new Stream({ deadlineMs: NOW_MS + 5 }));
  own.say('a');
  t.is(own.calls[0]?.deadlineMs, NOW_MS + 5);
  const none = begin();
  none.say('a');
  t.is(none.calls[0]?.deadlineMs, NOW_MS + 60_000);
});

test('a node that goes answers what it has taken, then ends its streams; no new ones', (t) => {
  const { stream, streams, calls, say } = begin();
  const idle = new Stream();
  streams.stream(idle);
  say('a');
  streams.retire();
  t.is(idle.code(), Code.UNAVAILABLE);
  t.is(stream.end_, 'open');
  t.true(stream.isPaused);
  say('too late');
  t.is(calls.length, 1);
  calls[0]?.succeed(response('a'));
  t.deepEqual(stream.ids(), ['a']);
  t.is(stream.code(), Code.UNAVAILABLE);
  const late = new Stream();
  streams.stream(late);
  t.is(late.code(), Code.UNAVAILABLE);
  t.is(streams.openStreams, 0);
});
