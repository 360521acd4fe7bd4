// A gateway on a free port of this machine, for tests, over whatever Backends a test gives it.
import { createHash } from 'node:crypto';
import { createLog, type Log } from '../../common/log.ts';
import { createMetrics, type Metrics } from '../../common/metrics.ts';
import type { Backend } from '../../transport/backend.ts';
import { defineService } from '../../transport/service.ts';
import { type GatewayOptions, startGateway } from '../gateway.ts';
import type { BlobSink } from '../uploads.ts';

export interface StartedGateway {
  readonly url: string;
  readonly metrics: Metrics;
  /** Lines of the log. */
  readonly lines: readonly string[];
  get(path: string, headers?: Record<string, string>): Promise<TestAnswer>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<TestAnswer>;
  send(path: string, init: RequestInit): Promise<TestAnswer>;
  stop(): Promise<void>;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body, parsed; undefined when it is empty. */
  readonly json: Record<string, unknown>;
}

export const nowhere: Log = createLog({ role: 'test', level: 'silent' });

/** Answers nothing: every call is UNIMPLEMENTED. */
export const nobody: Backend = defineService([], nowhere);

/** Hashes what comes and keeps the hashes of whole files, as a blob store does. */
export function hashingSink(kept: string[] = []): BlobSink {
  return {
    write: async (source) => {
      const hash = createHash('sha256');
      let sizeBytes = 0;
      for await (const chunk of source) {
        hash.update(chunk);
        sizeBytes += chunk.length;
      }
      const sha256 = hash.digest('hex');
      kept.push(sha256);
      return { sha256, sizeBytes };
    },
  };
}

export async function startedGateway(
  options: Partial<GatewayOptions> = {},
): Promise<StartedGateway> {
  const metrics = createMetrics();
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const gateway = await startGateway({
    host: '127.0.0.1',
    port: 0,
    inference: nobody,
    admin: nobody,
    blobs: hashingSink(),
    log: createLog({ role: 'gateway', level: 'warn', destination }),
    metrics,
    ...options,
  });
  const url = `http://127.0.0.1:${gateway.port}`;
  const send = async (path: string, init: RequestInit): Promise<TestAnswer> => {
    const response = await fetch(`${url}${path}`, init);
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
    const json = (isJson ? JSON.parse(text) : {}) as Record<string, unknown>;
    return { status: response.status, headers: response.headers, text, json };
  };
  return {
    url,
    metrics,
    lines,
    send,
    get: (path, headers = {}) => send(path, { headers }),
    post: (path, body, headers = {}) =>
      send(path, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      }),
    stop: () => gateway.stop(),
  };
}
