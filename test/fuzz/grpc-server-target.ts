// A gRPC server without its socket: connections are fed calls, sound and broken, whole and with
// bytes changed. Promised: it never throws; a sound call is answered with what it asked for, any
// other with a status; and once the connection is gone nothing is held.
import fc from 'fast-check';
import { VirtualClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { Connection } from '../../transport/http2/connection/connection.ts';
import { connectionOptions } from '../../transport/http2/connection/options.ts';
import { CLIENT_PREFACE, FrameType, SettingId } from '../../transport/http2/frames/constants.ts';
import { BlockPool } from '../../transport/http2/frames/output.ts';
import { GrpcConnection } from '../../transport/server/grpc-connection.ts';
import { ServedListener } from '../../transport/server/served-listener.ts';
import { DEFAULT_SERVER_LIMITS } from '../../transport/server/server-limits.ts';
import { AnswerReader } from './answer-reader.ts';
import { byteChanges, changed, chunkSizes, chunksOf } from './byte-changes.ts';
import { EchoService } from './echo-service.ts';
import { pureTarget, type Verdict } from './fuzz-target.ts';
import {
  type FuzzCall,
  fuzzCalls,
  MAX_MESSAGE_BYTES,
  mixed,
  PATHS,
  soundMessages,
} from './grpc-calls.ts';
import { frameBytes, settingBytes, uint32Bytes } from './wire-bytes.ts';

const log = createLog({ role: 'test', level: 'silent' });
const LARGE_WINDOW = 10_000_000;
const OPENING = Buffer.concat([
  CLIENT_PREFACE,
  frameBytes(FrameType.SETTINGS, 0, 0, settingBytes(SettingId.INITIAL_WINDOW_SIZE, LARGE_WINDOW)),
  frameBytes(FrameType.SETTINGS, 1, 0, Buffer.alloc(0)),
  frameBytes(FrameType.WINDOW_UPDATE, 0, 0, uint32Bytes(LARGE_WINDOW)),
]);
/** Longer than any deadline that a call here names but the longest. */
const LONG_MS = 120_000;
/** In the content of a conversation: empty ones take 5 bytes. */
const MOST_MESSAGES = 50_000;

interface Input {
  readonly calls: readonly FuzzCall[];
  readonly order: readonly number[];
  readonly changes: readonly Parameters<typeof changed>[1][];
  readonly sizes: readonly number[];
  /** Time that passes with each chunk, and after how many chunks put-off answers come. */
  readonly stepMs: number;
  readonly goOnEvery: number;
}

class Served {
  readonly clock = new VirtualClock();
  readonly service = new EchoService();
  readonly listener: ServedListener;
  readonly connection: Connection;
  readonly answers = new AnswerReader();
  readonly #handler: GrpcConnection;

  constructor() {
    this.listener = new ServedListener({
      backend: this.service,
      raw: this.service,
      log,
      clock: this.clock,
      random: () => 0.5,
      onLimit: () => {},
      limits: { ...DEFAULT_SERVER_LIMITS, messageBytes: MAX_MESSAGE_BYTES },
    });
    this.#handler = new GrpcConnection(this.listener, 'fuzz');
    const options = connectionOptions(true, { pool: new BlockPool() });
    this.connection = new Connection(options, this.#handler, 0);
    this.#handler.serve(this.connection, () => {});
  }

  take(): void {
    this.answers.read(this.connection.take());
  }

  /** As a shell does: the time goes on, deadlines fall due. */
  pass(ms: number): void {
    this.clock.advance(ms);
    if (this.clock.nowMs() >= this.connection.deadlineMs()) {
      this.connection.onTime(this.clock.nowMs());
    }
  }

  end(): Verdict {
    const { connection, listener } = this;
    connection.lost('over');
    this.#handler.closed();
    this.service.goOn();
    connection.take();
    const held = {
      requestBytes: listener.requests.heldBytes,
      answerBytes: listener.answers.heldBytes,
      deadlines: listener.waiting,
      connections: listener.connections.size,
      connectionBytes: connection.heldBytes,
    };
    listener.stop();
    const left = Object.entries(held).filter(([, amount]) => amount !== 0);
    return left.length === 0 ? undefined : `left behind: ${JSON.stringify(left)}`;
  }
}

function judge(input: Input): Verdict {
  const served = new Served();
  const { connection, service } = served;
  const frames = mixed(input.calls, input.order);
  const bytes = input.changes.reduce(changed, Buffer.concat([OPENING, ...frames]));
  chunksOf(bytes, input.sizes).forEach((chunk, at) => {
    connection.receive(chunk, served.clock.nowMs());
    served.pass(input.stepMs);
    if (at % input.goOnEvery === 0) service.goOn();
    served.take();
  });
  // What is put off may be put off again, by the next message.
  for (let i = 0; i < MOST_MESSAGES && service.isAwaited; i++) service.goOn();
  served.take();
  if (service.broken !== undefined) return service.broken;
  if (input.changes.length === 0) {
    const wrong = judgeAnswers(input, served);
    if (wrong !== undefined) return wrong;
  }
  served.pass(LONG_MS);
  service.goOn();
  served.take();
  if (connection.openStreams === 0 && connection.unconsumedBytes !== 0) {
    return `no stream is open, and ${connection.unconsumedBytes} bytes are not consumed`;
  }
  return served.end() ?? service.broken;
}

function judgeAnswers({ calls, stepMs }: Input, served: Served): Verdict {
  const { answers, connection, listener } = served;
  if (answers.broken !== undefined) return answers.broken;
  // Time limits may end it.
  if (connection.isFailed && stepMs > 0) return undefined;
  if (connection.isFailed) return 'a connection with calls in order has failed';
  for (const [at, call] of calls.entries()) {
    const answer = answers.of(at * 2 + 1);
    const wanted = wantedOf(call);
    if (call.ends === 'reset' || (wanted !== undefined && stepMs > 0)) continue;
    const isOver = answer?.isEnded === true || answer?.isReset === true;
    // What says that it is large is inflated in another thread, for which nobody waits here.
    const isPutOff = listener.inflater.pending > 0;
    if (!(isOver || isPutOff || call.ends === 'never')) return `call ${at} has no answer`;
    if (wanted === undefined) {
      const { status, messages } = answer ?? { status: undefined, messages: [] };
      const isFine = status === '0' && call.path !== PATHS.raw && call.ends !== 'never';
      if (isFine && soundMessages(call) === undefined)
        return `call ${at} is wrong and went well: ${messages.length}`;
      continue;
    }
    if (answer?.status !== wanted.status) return `call ${at}: ${answer?.status}: ${answer?.text}`;
    const got = Buffer.concat(answer.messages);
    if (!got.equals(wanted.content)) return `call ${at}: other messages came back`;
  }
  return undefined;
}

interface Wanted {
  readonly status: string;
  readonly content: Buffer;
}

/** Undefined where the call is wrong in some way. */
function wantedOf(call: FuzzCall): Wanted | undefined {
  const hasTime = call.timeout === null || call.timeout === '1S' || call.timeout?.endsWith('H');
  const messages = soundMessages(call);
  if (messages === undefined || call.path === PATHS.raw || !hasTime) return undefined;
  const all = Buffer.concat(messages);
  const nothing = Buffer.alloc(0);
  switch (call.path) {
    case PATHS.stream:
      return { status: '0', content: all };
    case PATHS.sum:
      return { status: '0', content: Buffer.from(String(all.length)) };
    case PATHS.echo:
    case PATHS.later:
      if (messages.length !== 1) return { status: '12', content: nothing };
      return { status: '0', content: all };
    case PATHS.fails:
      return { status: messages.length === 1 ? '3' : '12', content: nothing };
    default:
      return { status: '12', content: nothing };
  }
}

export const grpcServerTarget = pureTarget({
  name: 'grpc-server',
  share: 2,
  runsPerBatch: 100,
  input: fc.record({
    calls: fc.array(fuzzCalls, { minLength: 1, maxLength: 6 }),
    order: fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 20 }),
    changes: fc.oneof(fc.constant([]), fc.array(byteChanges, { minLength: 1, maxLength: 3 })),
    sizes: chunkSizes,
    stepMs: fc.constantFrom(0, 0, 0, 10, 1_000),
    goOnEvery: fc.integer({ min: 1, max: 5 }),
  }),
  judge,
});
