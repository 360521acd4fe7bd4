// The flooded server, with its default limits but for those of time: half a second instead of many,
// so that a run sees them. It samples its memory.
import { createLog } from '../../common/log.ts';
import { DEFAULT_LIMITS } from '../../transport/http2/connection/limits.ts';
import { serveGrpc } from '../../transport/server/serve-grpc.ts';
import { answerParent } from './child-process.ts';
import { EchoBackend } from './echo-backend.ts';

const LIMIT_MS = 500;
const SAMPLE_MS = 20;

const crossed = new Map<string, number>();
const listener = await serveGrpc({
  backend: new EchoBackend(),
  host: '127.0.0.1',
  port: 0,
  log: createLog({ role: 'test', level: 'silent' }),
  onLimit: (name) => crossed.set(name, (crossed.get(name) ?? 0) + 1),
  connection: {
    limits: {
      ...DEFAULT_LIMITS,
      handshakeMs: LIMIT_MS,
      partialFrameMs: LIMIT_MS,
      stalledMs: LIMIT_MS,
    },
  },
});

let peakBytes = 0;
setInterval(() => {
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
}, SAMPLE_MS).unref();

export interface ServerState {
  readonly connections: number;
  readonly calls: number;
  readonly heldBytes: number;
  /** Since it was last asked. */
  readonly peakRssBytes: number;
  readonly crossed: Readonly<Record<string, number>>;
}

function state(): ServerState {
  const { connections, calls, requestBytes, answerBytes } = listener.held;
  const peakRssBytes = Math.max(peakBytes, process.memoryUsage.rss());
  const told = Object.fromEntries(crossed);
  crossed.clear();
  peakBytes = 0;
  return { connections, calls, heldBytes: requestBytes + answerBytes, peakRssBytes, crossed: told };
}

const questions = { port: () => listener.port, state };
export type ServerQuestions = typeof questions;
answerParent(questions);
